//! Bytes → stanzas, with bounds on everything. What is out of bounds is skipped and counted: it ends nothing.

use rxml::{AttrMap, Event, Namespace, Options, QName, RawParser, WithOptions as _};

use super::{Element, names::Parser};

/// What one stanza may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes on the wire.
    pub bytes: usize,
    /// Elements in each other.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 2 << 20, depth: 48, elements: 20_000, attributes: 64 }
    }
}

/// The longest name, attribute or piece of text that is held at once. Previews of links are whole pictures in an attribute.
const LONGEST_TOKEN: usize = 8 << 20;
/// How much of one tag is held before it is whole; at the bound, the link ends. Servers that bound the stanzas of others send no such
/// tag.
const LONGEST_TAG: usize = 16 << 20;

/// The first tag of a stanza, before the rest is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head(Element);

impl Head {
    /// The stanza without its content.
    pub fn element(&self) -> &Element {
        &self.0
    }
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The stream begins.
    Open(Head),
    /// A whole stanza.
    Stanza(Element),
    /// A stanza beyond the bounds, skipped.
    Skipped(Head),
    /// The stream ends.
    Close,
}

/// What was read is no XML: the link must begin anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what the server sent is no XML: {0}")]
pub struct ReadError(String);

/// Reads a stream. Does no I/O.
pub struct Reader {
    parser: Parser,
    bounds: Bounds,
    depth: usize,
    state: State,
    kinds: Kinds,
}

enum State {
    /// Between stanzas.
    Between,
    /// In a stanza.
    In { open: Vec<Element>, bytes: usize, elements: usize },
    /// In a stanza that nobody wants, or that is beyond the bounds.
    Skipping(Option<Head>),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Reader {
    /// At the beginning of a stream.
    pub fn new(bounds: Bounds) -> Self {
        let options = Options { max_token_length: LONGEST_TOKEN, ..Options::default() };
        // The first that is too deep is seen: the stream itself is one, too.
        let parser = Parser::new(RawParser::with_options(options), bounds.depth.saturating_add(2));
        Self { parser, bounds, depth: 0, state: State::Between, kinds: Kinds::default() }
    }

    /// Reads what has come, up to the end of the next piece; `bytes` is left with what is behind it. A stanza whose head `wanted` says no
    /// to is passed over without being held. `None` when more must come.
    ///
    /// # Errors
    /// [`ReadError`] for what is no XML.
    pub fn read(&mut self, bytes: &mut &[u8], wanted: &dyn Fn(&Element) -> bool) -> Result<Option<Piece>, ReadError> {
        loop {
            match self.parser.parse(bytes) {
                Ok(Some(event)) => {
                    let piece = self.take(event, wanted);
                    if piece.is_some() {
                        return Ok(piece);
                    }
                }
                Ok(None) if self.parser.unfinished() > LONGEST_TAG => {
                    return Err(ReadError(format!("a tag of more than {LONGEST_TAG} bytes")));
                }
                Ok(None) => return Ok(None),
                Err(error) => return Err(ReadError(error.to_string())),
            }
        }
    }

    fn take(&mut self, event: Event, wanted: &dyn Fn(&Element) -> bool) -> Option<Piece> {
        match event {
            Event::XmlDeclaration(..) => None,
            Event::StartElement(metrics, name, attributes) => {
                self.depth += 1;
                self.start(metrics.len(), name, attributes, wanted)
            }
            Event::Text(metrics, text) => {
                self.text(metrics.len(), text);
                None
            }
            Event::EndElement(metrics) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(metrics.len())
            }
        }
    }

    fn start(
        &mut self,
        length: usize,
        name: QName,
        mut attributes: AttrMap,
        wanted: &dyn Fn(&Element) -> bool,
    ) -> Option<Piece> {
        if matches!(self.state, State::Skipping(_)) {
            return None;
        }
        let too_many = attributes.len() > self.bounds.attributes;
        if too_many {
            attributes.retain(|ns, name, _| ns.is_none() && matches!(name.as_str(), "from" | "to" | "id" | "type"));
        }
        let element = self.kinds.element(name, attributes);
        match (self.depth, &mut self.state) {
            (1, _) => return Some(Piece::Open(Head(element))),
            (2, _) if too_many || length > self.bounds.bytes => self.state = State::Skipping(Some(Head(element))),
            (2, _) if !wanted(&element) => self.state = State::Skipping(None),
            (2, _) => self.state = State::In { open: vec![element], bytes: length, elements: 1 },
            (depth, State::In { open, bytes, elements }) => {
                *bytes += length;
                *elements += 1;
                // The stream itself is one.
                let fits = depth <= self.bounds.depth + 1 && *elements <= self.bounds.elements && !too_many;
                if fits && *bytes <= self.bounds.bytes {
                    open.push(element);
                } else {
                    self.give_up();
                }
            }
            (_, State::Between | State::Skipping(_)) => {}
        }
        None
    }

    fn text(&mut self, length: usize, text: String) {
        let State::In { open, bytes, .. } = &mut self.state else { return };
        *bytes += length;
        if *bytes > self.bounds.bytes {
            self.give_up();
        } else if let Some(element) = open.last_mut() {
            element.append_text(text);
        }
    }

    fn end(&mut self, length: usize) -> Option<Piece> {
        if self.depth == 0 {
            return Some(Piece::Close);
        }
        let is_whole = self.depth == 1;
        match &mut self.state {
            State::Between => None,
            State::Skipping(head) => {
                let skipped = head.take_if(|_| is_whole).map(Piece::Skipped);
                if is_whole {
                    self.state = State::Between;
                }
                skipped
            }
            State::In { open, bytes, .. } => {
                *bytes += length;
                let element = open.pop()?;
                match open.last_mut() {
                    Some(parent) => {
                        parent.append_child(element);
                        None
                    }
                    None => {
                        self.state = State::Between;
                        Some(Piece::Stanza(element))
                    }
                }
            }
        }
    }

    /// The rest of this stanza is not held.
    fn give_up(&mut self) {
        let State::In { open, .. } = std::mem::replace(&mut self.state, State::Between) else { return };
        let head = open.into_iter().next().map(|mut stanza| {
            stanza.take_nodes();
            Head(stanza)
        });
        self.state = State::Skipping(head);
    }
}

/// Elements without content as they came lately. The next of the same name and namespace is a copy, which shares the text of its
/// namespace: one that is made anew copies both.
#[derive(Default)]
struct Kinds {
    known: Vec<Element>,
    oldest: usize,
}

impl Kinds {
    /// How many are known.
    const MOST: usize = 24;
    /// The longest name and namespace that are kept, in bytes.
    const LONGEST: usize = 128;

    /// An element as the parser read it. Its names are names of XML, since the parser knows no others. Attributes of other namespaces
    /// mean nothing in XMPP and are left out.
    fn element(&mut self, (ns, name): QName, mut attributes: AttrMap) -> Element {
        let means_something =
            |ns: &Namespace<'_>, name: &str| ns.is_none() || (ns == Namespace::xml() && name == "lang");
        if !attributes.names().all(|(ns, name)| means_something(ns, name)) {
            attributes.retain(|ns, name, _| means_something(ns, name));
        }
        let mut element = self.empty(&name, &ns);
        *element.attrs_mut() = attributes;
        element
    }

    fn empty(&mut self, name: &str, ns: &str) -> Element {
        if let Some(known) = self.known.iter().find(|known| known.is(name, ns)) {
            return known.clone();
        }
        let element = Element::bare(name, ns);
        if name.len() + ns.len() <= Self::LONGEST {
            match self.known.get_mut(self.oldest) {
                Some(oldest) => *oldest = element.clone(),
                None => self.known.push(element.clone()),
            }
            self.oldest = (self.oldest + 1) % Self::MOST;
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stanza::{ElementExt as _, Guard};

    const OPEN: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                        xmlns:stream='http://etherx.jabber.org/streams' id='17' from='matrix.test'>";

    fn read_all(reader: &mut Reader, text: &str) -> Vec<Piece> {
        pieces(reader, text.as_bytes(), &|_| true).unwrap()
    }

    fn pieces(
        reader: &mut Reader,
        mut bytes: &[u8],
        wanted: &dyn Fn(&Element) -> bool,
    ) -> Result<Vec<Piece>, ReadError> {
        let mut out = Vec::new();
        while let Some(piece) = reader.read(&mut bytes, wanted)? {
            out.push(piece);
        }
        Ok(out)
    }

    fn stanzas(text: &str) -> Vec<Element> {
        let pieces = read_all(&mut Reader::default(), &format!("{OPEN}{text}"));
        pieces
            .into_iter()
            .filter_map(|piece| if let Piece::Stanza(stanza) = piece { Some(stanza) } else { None })
            .collect()
    }

    #[test]
    fn a_stream_is_opened_and_closed() {
        let pieces = read_all(&mut Reader::default(), &format!("{OPEN}<handshake/> <message/></stream:stream>"));
        let [Piece::Open(head), Piece::Stanza(_), Piece::Stanza(_), Piece::Close] = pieces.as_slice() else {
            panic!("{pieces:?}")
        };
        assert_eq!(head.element().attr("id"), Some("17"));
    }

    /// Each of these ended other components.
    #[test]
    fn what_is_odd_is_read_all_the_same() {
        let body = "x".repeat(150_000);
        let attribute = "y".repeat(20_000);
        let text = format!(
            "<message type='bogus' from='a@b/🫠'><body>{body}</body></message>\
             <presence><show>busy</show><priority>300</priority></presence>\
             <message><thread>1</thread><thread>2</thread><body xml:lang='en'>a</body><body>b</body></message>\
             <iq type='result'/><message from='a@b/\u{202e}'><x preview='data:{attribute}'/></message>"
        );
        let stanzas = stanzas(&text);
        assert_eq!(stanzas.len(), 5);
        assert_eq!(stanzas[0].own_text("body").map(|body| body.len()), Some(150_000));
        assert_eq!(stanzas[4].children().next().and_then(|x| x.attr("preview")).map(str::len), Some(20_005));
        assert_eq!(stanzas[2].find_all("body", "jabber:component:accept").count(), 2);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_skipped_and_the_next_one_is_read() {
        let bounds = Bounds { bytes: 4000, depth: 5, elements: 50, attributes: 10 };
        let deep = format!("{}{}", "<a>".repeat(30), "</a>".repeat(30));
        let many = "<a/>".repeat(100);
        let wide: String = (0..20).map(|n| format!(" a{n}='1'")).collect();
        for (what, inner) in [
            ("long", format!("<body>{}</body>", "x".repeat(9000))),
            ("deep", deep),
            ("many", many),
            ("wide", format!("<a{wide}/>")),
        ] {
            let mut reader = Reader::new(bounds);
            let pieces = read_all(
                &mut reader,
                &format!("{OPEN}<message id='1' from='eve@test'>{inner}</message><message id='2'/>"),
            );
            let [Piece::Open(_), Piece::Skipped(head), Piece::Stanza(next)] = pieces.as_slice() else {
                panic!("{what}: {pieces:?}")
            };
            assert_eq!(head.element().attr("from"), Some("eve@test"), "{what}");
            assert_eq!(next.attr("id"), Some("2"), "{what}");
        }
    }

    #[test]
    fn a_preview_of_any_size_ends_nothing() {
        let attribute = "y".repeat(3 << 20);
        for stanza in [
            format!("<message id='1'><x preview='data:{attribute}'/></message>"),
            format!("<message id='1' preview='data:{attribute}'/>"),
        ] {
            let pieces = read_all(&mut Reader::default(), &format!("{OPEN}{stanza}<message id='2'/>"));
            let [Piece::Open(_), Piece::Skipped(_), Piece::Stanza(next)] = pieces.as_slice() else { panic!() };
            assert_eq!(next.attr("id"), Some("2"));
        }
    }

    #[test]
    fn a_tag_without_end_is_not_held_for_ever() {
        let mut reader = Reader::default();
        pieces(&mut reader, format!("{OPEN}<message").as_bytes(), &|_| true).unwrap();
        let attributes: Vec<String> = (0..40).map(|n| format!(" a{n}='{}'", "y".repeat(1 << 20))).collect();
        let ended = attributes.iter().position(|some| pieces(&mut reader, some.as_bytes(), &|_| true).is_err());
        assert!(ended.is_some_and(|after| after < 20), "{ended:?}");
    }

    #[test]
    fn what_nobody_wants_is_passed_over() {
        let text = format!("{OPEN}<message to='b'><body>no</body></message><message to='a'><body>yes</body></message>");
        let out = pieces(&mut Reader::default(), text.as_bytes(), &|head| head.attr("to") == Some("a")).unwrap();
        assert!(
            matches!(&out[1..], [Piece::Stanza(stanza)] if stanza.own_text("body").as_deref() == Some("yes")),
            "{out:?}"
        );
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        for text in ["<!DOCTYPE x>", "<a></b>", "<message>&undeclared;</message>", "<a b='1' b='2'/>"] {
            let text = format!("{OPEN}{text}");
            assert!(pieces(&mut Reader::default(), text.as_bytes(), &|_| true).is_err(), "{text}");
        }
    }

    fn any_element() -> impl Strategy<Value = Element> {
        let leaf = (
            "[a-z]{1,8}",
            prop::sample::select(vec!["jabber:component:accept", "urn:x", ""]),
            prop::collection::btree_map("[a-z]{1,5}", ".{0,12}", 0..4),
            ".{0,20}",
        )
            .prop_map(|(name, ns, attrs, text)| {
                let clean =
                    |text: String| text.chars().filter(|c| super::super::writer::is_xml(*c)).collect::<String>();
                let mut element = Element::bare(name, ns);
                for (name, value) in attrs {
                    element.attrs_mut().insert(Namespace::NONE, name.try_into().unwrap(), clean(value));
                }
                let text = clean(text);
                if text.is_empty() { element } else { element.with_text(text) }
            });
        leaf.prop_recursive(4, 20, 4, |inner| {
            ("[a-z]{1,8}", prop::collection::vec(inner, 0..4))
                .prop_map(|(name, children)| Element::bare(name, "urn:x").with_children(children))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(inner in any_element(), cut in 1_usize..40) {
            let stanza = Element::stanza("message", "a@matrix.test", "b@xmpp.test", "chat").child(inner);
            let bytes = Guard::new("matrix.test", 1 << 20).write(&stanza).unwrap();
            let mut reader = Reader::default();
            let mut out = pieces(&mut reader, OPEN.as_bytes(), &|_| true).unwrap();
            for chunk in bytes.chunks(cut) {
                out.extend(pieces(&mut reader, chunk, &|_| true).unwrap());
            }
            prop_assert_eq!(&out[1..], &[Piece::Stanza(stanza)]);
        }

        #[test]
        fn nothing_that_is_read_breaks_the_reader(text in "[<>/a-z='\" &;!\\[\\]?-]{0,200}") {
            let mut reader = Reader::default();
            let _ = pieces(&mut reader, format!("{OPEN}{text}").as_bytes(), &|_| true);
        }
    }
}
