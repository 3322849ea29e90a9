//! What the tree would panic at, or write so that a server ends the link: none of it gets in from outside, and none of it gets out.

use minidom::rxml::{Namespace, XMLNS_XML, XMLNS_XMLNS};
use proptest::prelude::*;

use super::{Bounds, Element, ElementExt as _, Guard, Node, Piece, ReadError, Reader, Refused, StanzaError, ns};
use crate::{convert::incoming, muc::Presence};

const OPEN: &str = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Reads a stream of stanzas, cut into pieces of so many bytes.
fn read(reader: &mut Reader, bytes: &[u8], cut: usize) -> Result<Vec<Piece>, ReadError> {
    let mut out = Vec::new();
    for mut chunk in bytes.chunks(cut) {
        while let Some(piece) = reader.read(&mut chunk, &|_| true)? {
            out.push(piece);
        }
    }
    Ok(out)
}

fn stanzas(text: &str) -> Vec<Element> {
    let pieces = read(&mut Reader::default(), format!("{OPEN}{text}").as_bytes(), 1 << 16).unwrap();
    pieces.into_iter().filter_map(|piece| if let Piece::Stanza(stanza) = piece { Some(stanza) } else { None }).collect()
}

/// Sends an element to somebody.
fn sent(inside: Element) -> Result<Vec<u8>, Refused> {
    let ours = Element::stanza("message", "a@matrix.test", "b@xmpp.test", "chat").child(inside);
    Guard::new("matrix.test", 1 << 20).write(&ours)
}

/// What somebody receives of an element that is sent to them.
fn received(inside: Element) -> Result<Element, Refused> {
    let bytes = sent(inside)?;
    let text = String::from_utf8(bytes).unwrap();
    let mut stanzas = stanzas(&text);
    assert_eq!(stanzas.len(), 1, "{text}");
    Ok(stanzas.remove(0).children().next().unwrap().clone())
}

/// Everything that is done with a stanza from outside.
fn used(stanza: &Element) {
    assert_eq!(*stanza, stanza.clone());
    let _ = format!("{stanza:?}");
    let _ = (incoming::meaning(stanza), incoming::typing(stanza), Presence::read(stanza), StanzaError::of(stanza));
    match received(stanza.clone()) {
        Ok(again) => assert_eq!(again, *stanza),
        Err(Refused::NoName { ns, .. }) => assert!([XMLNS_XML, XMLNS_XMLNS].contains(&ns.as_str()), "{ns}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn attributes_in_namespaces_and_odd_declarations_come_in_without_harm() {
    let odd = "<message xmlns:a='urn:a' a:from='eve@evil.test' from='bob@xmpp.test' a:lang='x' xml:lang='de' xml:base='y'/>\
               <a:b xmlns:a='urn:a' xmlns:b='urn:a' b:c='1'><a:d a:e='2'/></a:b>\
               <message xmlns=''><body xmlns='jabber:component:accept'>of no namespace</body></message>\
               <message><xml:body/></message>\
               <xml:message/>\
               <message><x xmlns='&#9;&lt;\u{202e}&quot;&apos;'/></message>\
               <message><body>&#9;&#10;&#13;\u{85}\u{fffd}]]&gt;</body><body><![CDATA[<body>]]></body></message>";
    let read = stanzas(odd);
    assert_eq!(read.len(), 7);
    read.iter().for_each(used);
    let attributes: Vec<_> =
        read[0].attrs().iter().map(|((ns, name), value)| (&**ns, name.as_str(), value.as_str())).collect();
    assert_eq!(attributes, [("", "from", "bob@xmpp.test"), (XMLNS_XML, "lang", "de")]);
    assert!(read[1].is("b", "urn:a") && read[1].children().next().unwrap().attrs().is_empty());
    assert!(read[2].is("message", ""));
}

#[test]
fn names_that_are_none_end_the_stream_before_they_are_in_a_tree() {
    for tag in [
        "<1/>",
        "<a:b:c/>",
        "<:a/>",
        "<a:/>",
        "<-a/>",
        "<u:a/>",
        "<a u:b=''/>",
        "<a b:=''/>",
        "<a\u{b}/>",
        "<a>\u{1}</a>",
    ] {
        let text = format!("{OPEN}<message>{tag}</message>");
        assert!(read(&mut Reader::default(), text.as_bytes(), 7).is_err(), "{tag:?}");
    }
}

#[test]
fn an_element_that_cannot_be_named_never_leaves() {
    for name in ["", " ", "a b", "a>", "a/", "1", "-", "a:b", "xmlns:a", "a'", "a\u{0}", "a\u{ffff}", "<a"] {
        let (ns, refused) = ("urn:x", Refused::NoName { name: name.to_owned(), ns: "urn:x".to_owned() });
        assert_eq!(sent(Element::bare(name, ns)), Err(refused.clone()));
        assert_eq!(sent(Element::bare("x", "urn:y").child(Element::bare(name, ns).with_text("hi"))), Err(refused));
    }
    for ns in [XMLNS_XML, XMLNS_XMLNS] {
        assert!(matches!(sent(Element::bare("a", ns)), Err(Refused::NoName { .. })), "{ns}");
    }
    for name in ["ä", "_", "a-1.2", "\u{10000}"] {
        assert_eq!(received(Element::bare(name, "urn:x")), Ok(Element::bare(name, "urn:x")));
    }
}

#[test]
fn attributes_that_cannot_be_written_are_left_out() {
    let mut odd =
        Element::bare("x", "urn:x").with("from", "a\u{0}b\n'\"<&>").with("a b", "1").with("a:b", "2").with("", "3");
    odd.attrs_mut().insert(Namespace::NONE, "xmlns".try_into().unwrap(), "urn:evil".to_owned());
    odd.attrs_mut().insert(Namespace::from_str("urn:a"), "b".try_into().unwrap(), "4".to_owned());
    odd.attrs_mut().insert(Namespace::XMLNS, "b".try_into().unwrap(), "5".to_owned());
    assert_eq!(received(odd), Ok(Element::bare("x", "urn:x").with("from", "ab\n'\"<&>")));
}

#[test]
fn declarations_in_a_tree_mean_nothing_to_who_writes_it() {
    let evil = [(None, "urn:evil"), (Some("xml"), "urn:evil"), (Some("a b'"), "")];
    let evil: std::collections::BTreeMap<_, _> =
        evil.into_iter().map(|(prefix, ns)| (prefix.map(str::to_owned), ns.to_owned())).collect();
    let mut odd = Element::bare("x", "urn:x").child(Element::bare("y", "urn:x"));
    odd.prefixes = evil.into();
    assert_eq!(received(odd), Ok(Element::bare("x", "urn:x").child(Element::bare("y", "urn:x"))));
}

#[test]
fn what_is_deep_is_dropped_without_using_up_the_stack() {
    let deep = format!("<message id='1'>{}{}</message><message id='2'/>", "<a>".repeat(75_000), "</a>".repeat(75_000));
    let read = stanzas(&deep);
    assert!(matches!(&read[..], [next] if next.attr("id") == Some("2")), "{}", read.len());
}

#[test]
fn whoever_writes_too_many_attributes_can_still_be_named() {
    let many: String = (0..100).map(|n| format!(" a{n}='1'")).collect();
    let text = format!("{OPEN}<message{many} from='eve@test' xml:lang='de'/><message id='2'/>");
    let pieces = read(&mut Reader::default(), text.as_bytes(), 100).unwrap();
    let [Piece::Open(_), Piece::Skipped(head), Piece::Stanza(_)] = pieces.as_slice() else { panic!("{pieces:?}") };
    assert_eq!(*head.element(), Element::bare("message", ns::COMPONENT).with("from", "eve@test"));
}

#[test]
fn what_came_before_says_nothing_of_what_comes() {
    let names = |n: usize| (format!("n{}", n % 9), format!("urn:{}", n % 7));
    let one = |n: usize| {
        let (name, ns) = names(n);
        format!("<{name} xmlns='{ns}' a{n}='1'>{n}<a/></{name}>")
    };
    let many: String = (0..400).map(one).collect();
    let long = "n".repeat(5000);
    let read = stanzas(&format!("<message>{many}<{long} xmlns='{long}'/><{long} xmlns='urn:x'/></message>"));
    let children: Vec<_> = read[0].children().collect();
    assert_eq!(children.len(), 402);
    for (n, child) in children[..400].iter().enumerate() {
        let (name, ns) = names(n);
        assert!(child.is(&name, ns.as_str()) && child.text() == n.to_string() && child.nodes().len() == 2, "{child:?}");
        assert_eq!(child.attrs().len(), 1);
        assert_eq!(child.attr(format!("a{n}").as_str()), Some("1"));
    }
    assert!(children[400].is(&long, long.as_str()) && children[401].is(&long, "urn:x"));
}

/// Any tree that its own methods let be made.
fn any_tree() -> impl Strategy<Value = Element> {
    let name = prop_oneof![4 => "[a-z]{1,5}", 1 => "\\PC{0,4}", 1 => "[a-c:<>'\"& \u{0}\u{7}\u{ffff}-]{0,4}"];
    let ns = prop_oneof![
        4 => prop::sample::select(vec![ns::COMPONENT, "urn:x", "", XMLNS_XML, XMLNS_XMLNS]).prop_map(str::to_owned),
        1 => "[\u{0}-\u{1f}a'<&\u{fffe}]{0,6}"
    ];
    let attributes = prop::collection::vec(("[a-z_][a-z0-9.-]{0,5}|xmlns|lang", ns.clone(), any::<String>()), 0..4);
    let leaf =
        (name, ns, attributes, any::<String>(), any::<bool>()).prop_map(|(name, ns, attributes, text, declares)| {
            let mut element = Element::bare(name, ns);
            for (name, ns, value) in attributes {
                element.attrs_mut().insert(ns.into(), name.try_into().unwrap(), value);
            }
            if declares {
                element.prefixes = (Some(text.clone()), text.clone()).into();
            }
            element.append_text_node(text.clone());
            element.append_text_node(text);
            element
        });
    leaf.prop_recursive(5, 30, 4, |inner| {
        ("[a-z]{1,4}", prop::collection::vec(inner, 0..4)).prop_map(|(name, inside)| {
            inside.into_iter().fold(Element::bare(name, "urn:y"), |mut element, child| {
                element.append_node(Node::Element(child));
                element
            })
        })
    })
}

/// What strangers write: mostly tags, and not always in their place.
fn any_markup() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "<message>",
        "</message>",
        "<message/>",
        "<presence from='a@b/\u{202e}'>",
        "</presence>",
        "<iq type='result'>",
        "</iq>",
        "<a:x xmlns:a='urn:a' a:b='1'>",
        "</a:x>",
        "<x xmlns='http://jabber.org/protocol/muc#user'>",
        "</x>",
        "<x xmlns=''>",
        "<xml:x xml:lang='' xml:space='y'>",
        "</xml:x>",
        "<body>",
        "</body>",
        "<body xml:lang='de'>",
        "text",
        "&#13;",
        "&lt;",
        "\u{fffd}",
        "<![CDATA[<a b='",
        "]]>",
        " ",
        "<x xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a b='1' c='2' d='3' e='4' f='5'/>",
        "<y xmlns:b='urn:b' b:c='' c=''/>",
        "<error type='wait'>",
        "</error>",
        "<stream:error>",
        "</stream:error>",
    ]);
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_a_tree_holds_is_refused_or_read_again(tree in any_tree()) {
        if let Ok(once) = received(tree) {
            // Nothing is lost any more.
            prop_assert_eq!(received(once.clone()), Ok(once));
        }
    }

    #[test]
    fn whatever_strangers_send_is_used_without_harm(markup in any_markup(), cut in 1_usize..60) {
        let mut reader = Reader::new(Bounds { bytes: 2048, depth: 6, elements: 20, attributes: 4 });
        read(&mut reader, OPEN.as_bytes(), cut).unwrap();
        let mut bytes = markup.as_bytes();
        while let Ok(Some(piece)) = reader.read(&mut bytes, &|_| true) {
            if let Piece::Stanza(stanza) = piece {
                used(&stanza);
            }
        }
    }
}
