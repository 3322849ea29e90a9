//! Prefixes → namespaces ([Namespaces in XML](https://www.w3.org/TR/xml-names/)), to a bounded depth.
//!
//! What a prefix stands for is looked for from the inside to the outside. In a stanza of tens of thousands of elements in each other that
//! would be looked for as often, in as many places: what is deeper than any stanza may be has its names not looked up at all.

use std::collections::BTreeMap;

use rxml::{
    AttrMap, Context, Error, Event, Namespace, NcName, Parse as _, QName, RawEvent, RawParser, RawQName,
    error::EndOrError, parser::EventMetrics, xml_map::Entry,
};

/// Reads XML, with its names looked up.
#[derive(Debug)]
pub(super) struct Parser {
    raw: RawParser,
    known: Context,
    deepest: usize,
    depth: usize,
    /// What each open element declared, the outermost first.
    scopes: Vec<Scope>,
    tag: Option<Tag>,
    unfinished: usize,
}

#[derive(Debug, Default)]
struct Scope {
    default: Option<Namespace<'static>>,
    prefixes: BTreeMap<NcName, Namespace<'static>>,
}

/// A tag of which not everything came yet.
#[derive(Debug)]
struct Tag {
    name: RawQName,
    declared: Scope,
    attributes: Vec<(RawQName, String)>,
    bytes: usize,
}

impl Parser {
    /// Elements that are in more than `deepest` others are read, but nothing is told of them.
    pub(super) fn new(raw: RawParser, deepest: usize) -> Self {
        Self { raw, known: Context::new(), deepest, depth: 0, scopes: Vec::new(), tag: None, unfinished: 0 }
    }

    /// How much was read of what is not whole yet.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// The next event in `bytes`, which is left with what is behind it. `None` when more must come.
    pub(super) fn parse(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Error> {
        loop {
            let before = bytes.len();
            let read = self.raw.parse(bytes, false);
            self.unfinished += before - bytes.len();
            match read {
                Ok(Some(event)) => {
                    let told = self.take(event)?;
                    if self.tag.is_none() {
                        self.unfinished = 0;
                    }
                    if told.is_some() {
                        return Ok(told);
                    }
                }
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(error),
            }
        }
    }

    fn take(&mut self, event: RawEvent) -> Result<Option<Event>, Error> {
        let is_told = match &event {
            RawEvent::ElementHeadOpen(..) => {
                self.depth += 1;
                self.depth <= self.deepest
            }
            RawEvent::ElementFoot(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.depth < self.deepest
            }
            RawEvent::Attribute(..) | RawEvent::ElementHeadClose(_) | RawEvent::Text(..) => self.depth <= self.deepest,
            RawEvent::XmlDeclaration(..) => true,
        };
        if !is_told {
            return Ok(None);
        }
        let bytes = event.metrics().len();
        if let Some(tag) = &mut self.tag {
            tag.bytes += bytes;
        }
        Ok(match event {
            RawEvent::XmlDeclaration(metrics, version) => Some(Event::XmlDeclaration(metrics, version)),
            RawEvent::Text(metrics, text) => Some(Event::Text(metrics, text)),
            RawEvent::ElementHeadOpen(_, name) => {
                self.tag = Some(Tag { name, declared: Scope::default(), attributes: Vec::new(), bytes });
                None
            }
            RawEvent::Attribute(_, name, value) => {
                self.attribute(name, value)?;
                None
            }
            RawEvent::ElementHeadClose(_) => match self.tag.take() {
                Some(tag) => Some(self.start(tag)?),
                None => None,
            },
            RawEvent::ElementFoot(metrics) => {
                self.scopes.pop();
                Some(Event::EndElement(metrics))
            }
        })
    }

    fn attribute(&mut self, name: RawQName, value: String) -> Result<(), Error> {
        let Some(tag) = &mut self.tag else { return Ok(()) };
        match &name {
            (Some(prefix), declared) if *prefix == "xmlns" => {
                let ns = self.known.intern_namespace(value);
                if tag.declared.prefixes.insert(declared.clone(), ns).is_some() {
                    return Err(Error::DuplicateAttribute);
                }
            }
            (None, name) if *name == "xmlns" => tag.declared.default = Some(self.known.intern_namespace(value)),
            _ => tag.attributes.push((name, value)),
        }
        Ok(())
    }

    fn start(&mut self, tag: Tag) -> Result<Event, Error> {
        self.scopes.push(tag.declared);
        let mut attributes = AttrMap::new();
        for ((prefix, name), value) in tag.attributes {
            let ns = match prefix {
                Some(prefix) => self.namespace(&prefix)?,
                None => Namespace::NONE,
            };
            match attributes.entry(ns, name) {
                Entry::Occupied(_) => return Err(Error::DuplicateAttribute),
                Entry::Vacant(place) => place.insert(value),
            };
        }
        let ns = match &tag.name.0 {
            Some(prefix) => self.namespace(prefix)?,
            None => self.scopes.iter().rev().find_map(|scope| scope.default.clone()).unwrap_or(Namespace::NONE),
        };
        let name: QName = (ns, tag.name.1);
        Ok(Event::StartElement(EventMetrics::new(tag.bytes), name, attributes))
    }

    fn namespace(&self, prefix: &NcName) -> Result<Namespace<'static>, Error> {
        if *prefix == "xml" {
            return Ok(Namespace::XML);
        }
        let declared = self.scopes.iter().rev().find_map(|scope| scope.prefixes.get(prefix));
        declared.cloned().ok_or(Error::UndeclaredNamespacePrefix(None))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rxml::{Options, WithOptions as _};

    use super::*;

    fn ours(text: &str, cut: usize, deepest: usize) -> (Vec<Event>, Option<String>) {
        let mut parser = Parser::new(RawParser::new(), deepest);
        let mut events = Vec::new();
        for mut chunk in text.as_bytes().chunks(cut) {
            loop {
                match parser.parse(&mut chunk) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Some(format!("{error:?}").chars().take(9).collect())),
                }
            }
        }
        (events, None)
    }

    fn theirs(text: &str, cut: usize) -> (Vec<Event>, Option<String>) {
        let mut parser = rxml::Parser::with_options(Options::default());
        let mut events = Vec::new();
        for mut chunk in text.as_bytes().chunks(cut) {
            loop {
                match parser.parse(&mut chunk, false) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) | Err(EndOrError::NeedMoreData) => break,
                    Err(EndOrError::Error(error)) => {
                        return (events, Some(format!("{error:?}").chars().take(9).collect()));
                    }
                }
            }
        }
        (events, None)
    }

    /// The inside of a tag; with two of each kind, half of them are faulty.
    fn tag(of_each: usize) -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "b", "p:a", "q:b", "xml:a"]);
        let one_of = |of: &'static [&'static str]| prop::collection::vec(prop::sample::select(of), of_each);
        let declared = one_of(&["", "", " xmlns='urn:1'", " xmlns=''", " xmlns:p='urn:2'", " xmlns:q='urn:2'"]);
        let attributes = one_of(&["", " c='1'", " p:c='1'", " q:c='&lt;'", " c='2'", " xml:lang='de'"]);
        (name, declared, attributes)
            .prop_map(|(name, declared, attributes)| format!("{name}{}{}", attributes.concat(), declared.concat()))
    }

    fn document(of_each: usize) -> impl Strategy<Value = String> {
        let leaf = prop_oneof![tag(of_each).prop_map(|tag| format!("<{tag}/>")), Just("text &amp; more".to_owned())];
        let tree = leaf.prop_recursive(6, 40, 4, move |inside| {
            (tag(of_each), prop::collection::vec(inside, 0..4)).prop_map(|(tag, inside)| {
                let name = tag.split(' ').next().unwrap_or_default();
                format!("<{tag}>{}</{name}>", inside.concat())
            })
        });
        tree.prop_map(|inside| {
            format!("<s:s xmlns='urn:0' xmlns:s='urn:s' xmlns:p='urn:p' xmlns:q='urn:q'>{inside}</s:s>")
        })
    }

    proptest! {
        /// As long as nothing is too deep, the parser of `rxml` tells the same, and finds the same faults.
        #[test]
        fn names_are_those_of_any_parser(text in document(2), cut in 1usize..80) {
            prop_assert_eq!(ours(&text, cut, 100), theirs(&text, cut));
        }

        /// And of what is too deep nothing is told, and nothing else changes.
        #[test]
        fn what_is_too_deep_is_as_if_it_were_not_there(text in document(1), deepest in 1usize..5) {
            let (all, fault) = ours(&text, 1000, 100);
            prop_assert_eq!(fault, None);
            let mut depth = 0;
            let shallow = all.into_iter().filter(|event| {
                match event {
                    Event::StartElement(..) => depth += 1,
                    Event::EndElement(_) => depth -= 1,
                    _ => {}
                }
                depth + usize::from(matches!(event, Event::EndElement(_))) <= deepest
            });
            prop_assert_eq!(ours(&text, 1000, deepest).0, shallow.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_document_that_is_only_deep_is_read_as_fast_as_a_flat_one() {
        // Three hundred thousand looks for a name, each through as many places, would not end today.
        let text = format!("<s xmlns='urn:s'>{}{}<a/></s>", "<a>".repeat(300_000), "</a>".repeat(300_000));
        let (events, fault) = ours(&text, 1 << 16, 50);
        assert_eq!((events.len(), fault), (2 * 50 + 2, None));
    }
}
