use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::stanza::write_any;

/// So short that a test need not wait.
const SHORT: Timing = Timing {
    connect: Duration::from_secs(20),
    keep_alive: Duration::from_millis(20),
    silence: Duration::from_millis(60),
};
/// So long that nothing happens by itself.
const LONG: Timing = Timing { keep_alive: Duration::from_secs(600), silence: Duration::from_secs(600), ..SHORT };

/// What the server says to who connects, once the stream is open.
async fn server(answer: &'static str) -> (Endpoint, tokio::task::JoinHandle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        domain: "matrix.test".into(),
        secret: "s3cret".into(),
        max_stanza: 1 << 18,
    };
    let accepting = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (ours, streams) = (ns::COMPONENT, ns::STREAM);
        let open = format!("<stream:stream xmlns='{ours}' xmlns:stream='{streams}' id='1'>{answer}");
        stream.write_all(open.as_bytes()).await.unwrap();
        stream
    });
    (endpoint, accepting)
}

async fn open(endpoint: &Endpoint, timing: Timing) -> Result<Connection, LinkError> {
    Connection::open(endpoint, timing, Arc::default()).await
}

async fn next(connection: &mut Connection) -> Result<Element, LinkError> {
    connection.next(&|_| true, &|_| ()).await
}

/// Reads what comes until it holds `text` so often.
async fn until(stream: &mut TcpStream, text: &str, times: usize) -> String {
    let (mut heard, mut buffer) = (String::new(), [0; 1024]);
    let reading = async {
        while heard.matches(text).count() < times {
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "waited for {text}; heard {heard}");
            heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it comes");
    heard
}

#[tokio::test]
async fn a_server_that_is_silent_is_asked_and_one_that_answers_is_kept() {
    let (endpoint, accepting) = server("<handshake/>").await;
    let timing = Timing { silence: Duration::from_millis(400), ..LONG };
    let mut connection = open(&endpoint, timing).await.unwrap();
    let mut stream = accepting.await.unwrap();
    let hearing = tokio::spawn(async move { (next(&mut connection).await, next(&mut connection).await, connection) });
    // Several silences, one after the other.
    for _ in 0..3 {
        until(&mut stream, "urn:xmpp:ping", 1).await;
        // Whatever it is: even a space says that it is there.
        stream.write_all(b" ").await.unwrap();
    }
    stream.write_all(b"<message id='1'/><message id='2'/>").await.unwrap();
    let (first, second, _connection) = hearing.await.unwrap();
    assert_eq!((first.unwrap().attr("id"), second.unwrap().attr("id")), (Some("1"), Some("2")));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left() {
    let (endpoint, accepting) = server("<handshake/>").await;
    let mut connection = open(&endpoint, SHORT).await.unwrap();
    let _stream = accepting.await.unwrap();
    let left = tokio::time::timeout(Duration::from_secs(20), next(&mut connection)).await.expect("it is left");
    assert!(matches!(left, Err(LinkError::Silent)), "{left:?}");
}

#[tokio::test]
async fn who_has_nothing_to_say_says_so_now_and_then() {
    let (endpoint, accepting) = server("<handshake/>").await;
    let timing = Timing { keep_alive: SHORT.keep_alive, ..LONG };
    let _connection = open(&endpoint, timing).await.unwrap();
    let mut stream = accepting.await.unwrap();
    until(&mut stream, "</handshake>   ", 1).await;
}

#[tokio::test]
async fn why_a_server_does_not_take_us_is_told_apart() {
    let fault = |inside: &'static str| async move {
        let (endpoint, _accepting) = server(inside).await;
        open(&endpoint, LONG).await.unwrap_err()
    };
    let conflict = fault(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>\
         Component already connected</text></stream:error>",
    );
    let conflict = conflict.await;
    assert!(matches!(&conflict, LinkError::Fault(fault) if fault.is_conflict()), "{conflict:?}");
    assert!(conflict.to_string().contains("already connected"));
    let wrong =
        fault("<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>").await;
    assert!(matches!(wrong, LinkError::NotAccepted(_)), "{wrong:?}");
    let ends =
        fault("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>").await;
    assert!(matches!(&ends, LinkError::Fault(fault) if !fault.is_conflict()), "{ends:?}");
    assert!(matches!(fault("</stream:stream>").await, LinkError::Closed));
}

/// What would end the link is held back, and the link goes on.
#[tokio::test]
async fn what_the_server_would_not_take_never_leaves() {
    let (endpoint, accepting) = server("<handshake/>").await;
    let connection = open(&endpoint, LONG).await.unwrap();
    let mut stream = accepting.await.unwrap();
    let (outlet, ours) = (connection.outlet(), "ann%hs@matrix.test");
    let large = Element::stanza("message", ours, "bob@xmpp.test", "").with_text("x".repeat(1 << 18));
    let foreign = Element::stanza("message", "eve@xmpp.test", "bob@xmpp.test", "");
    assert!(matches!(outlet.send(&large).await, Err(Refused::TooLarge { .. })));
    assert!(matches!(outlet.send(&foreign).await, Err(Refused::ForeignSender(_))));
    let fine = Element::stanza("message", ours, "bob@xmpp.test", "").with("id", "fine");
    outlet.send(&fine).await.unwrap();
    let mut bytes = String::new();
    write_any(&fine, &mut bytes);
    let heard = until(&mut stream, &bytes, 1).await;
    assert!(!heard.contains("eve@") && !heard.contains("xxx"), "{heard}");
}
