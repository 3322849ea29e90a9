//! Puts blocks together while HTML is read.

use super::{
    super::{Block, Inline, RichText, Span, Style},
    MAX_DEPTH,
};
use crate::rich_text::{Mention, clean_line, is_line_break, is_unwanted};

/// A quote, a list or an item that is still open.
enum Container {
    Root,
    Quote(Vec<Block>),
    List { start: Option<u32>, items: Vec<Vec<Block>> },
    Item(Vec<Block>),
}

/// What kind of container an end tag closes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Quote,
    List,
    Item,
}

/// Collects blocks; empty ones disappear.
pub(super) struct Builder {
    root: Vec<Block>,
    open: Vec<Container>,
    /// The spans of the paragraph being read.
    pub(super) spans: Vec<Span>,
    /// Whether white space would be collapsed into what stands before it.
    after_space: bool,
    /// The level, if the paragraph being read is a heading.
    heading: Option<u8>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { root: Vec::new(), open: vec![Container::Root], spans: Vec::new(), after_space: true, heading: None }
    }

    /// Adds text; runs of white space become one space.
    pub(super) fn text(&mut self, text: &str, style: &Style, link: Option<&str>) {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            let space = is_space(c);
            if (space && self.after_space) || (!space && is_unwanted(c)) {
                continue;
            }
            out.push(if space { ' ' } else { c });
            self.after_space = space;
        }
        self.push(out, style, link);
    }

    /// Adds text as it is, its white space kept.
    fn push(&mut self, text: String, style: &Style, link: Option<&str>) {
        if text.is_empty() {
            return;
        }
        if let Some(Span { content: Inline::Text(last), style: last_style, link: last_link }) = self.spans.last_mut()
            && last_style == style
            && last_link.as_deref() == link
        {
            last.push_str(&text);
            return;
        }
        self.spans.push(Span { content: Inline::Text(text), style: style.clone(), link: link.map(str::to_owned) });
    }

    /// Adds a line break; spaces around it disappear.
    pub(super) fn line_break(&mut self) {
        self.trim_end();
        self.spans.push(Span::line_break());
        self.after_space = true;
    }

    /// Adds a mention whose text is written as `raw`. Spaces at its ends stay outside.
    pub(super) fn mention(&mut self, target: Mention, raw: &str, style: Style) {
        let shown = raw.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        if raw.starts_with(is_space) {
            self.text(" ", &Style::default(), None);
        }
        self.spans.push(Span { content: Inline::Mention { target, text: clean_line(shown) }, style, link: None });
        self.after_space = false;
        if raw.ends_with(is_space) {
            self.text(" ", &Style::default(), None);
        }
    }

    /// Ends the paragraph.
    pub(super) fn end_paragraph(&mut self) {
        loop {
            self.trim_end();
            if !self.spans.last().is_some_and(|span| span.content == Inline::Break) {
                break;
            }
            self.spans.pop();
        }
        let blank = self.spans.iter().take_while(|span| span.content == Inline::Break).count();
        self.spans.drain(..blank);
        self.after_space = true;
        let heading = self.heading.take();
        if self.spans.is_empty() {
            return;
        }
        let spans = std::mem::take(&mut self.spans);
        self.block(match heading {
            Some(level) => Block::Heading { level, spans },
            None => Block::Paragraph(spans),
        });
    }

    /// Starts a heading.
    pub(super) fn start_heading(&mut self, level: u8) {
        self.end_paragraph();
        self.heading = Some(level);
    }

    /// Adds a whole block.
    pub(super) fn block(&mut self, block: Block) {
        match self.open.last_mut() {
            Some(Container::Quote(blocks) | Container::Item(blocks)) => blocks.push(block),
            Some(Container::List { items, .. }) => items.push(vec![block]),
            Some(Container::Root) | None => self.root.push(block),
        }
    }

    /// Opens a quote.
    pub(super) fn start_quote(&mut self) {
        self.end_paragraph();
        self.start(Container::Quote(Vec::new()));
    }

    /// Opens a list.
    pub(super) fn start_list(&mut self, start: Option<u32>) {
        self.end_paragraph();
        // A list directly inside a list belongs to an item of its own.
        if matches!(self.open.last(), Some(Container::List { .. })) {
            self.start(Container::Item(Vec::new()));
        }
        self.start(Container::List { start, items: Vec::new() });
    }

    /// Opens an item, if a list is open.
    pub(super) fn start_item(&mut self) {
        self.end_paragraph();
        if matches!(self.open.last(), Some(Container::Item(_))) {
            self.close_last();
        }
        if matches!(self.open.last(), Some(Container::List { .. })) {
            self.start(Container::Item(Vec::new()));
        }
    }

    fn start(&mut self, container: Container) {
        // The last level is kept for items, so that a list at the bound keeps them apart.
        let bound = if matches!(container, Container::Item(_)) { MAX_DEPTH } else { MAX_DEPTH - 1 };
        if self.open.len() < bound {
            self.open.push(container);
        }
    }

    /// Closes the innermost container of a kind, and everything inside it. An item is looked for in the innermost list only.
    pub(super) fn close(&mut self, kind: Kind) {
        self.end_paragraph();
        let found = self.open.iter().rposition(|container| {
            kind_of(container) == Some(kind) || (kind == Kind::Item && kind_of(container) == Some(Kind::List))
        });
        let Some(at) = found.filter(|at| kind_of(&self.open[*at]) == Some(kind)) else { return };
        while self.open.len() > at {
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        match self.open.pop() {
            Some(Container::Quote(blocks)) if !blocks.is_empty() => self.block(Block::Quote(blocks)),
            Some(Container::List { start, items }) if !items.is_empty() => self.block(Block::List { start, items }),
            Some(Container::Item(blocks)) => match self.open.last_mut() {
                Some(Container::List { items, .. }) => items.push(blocks),
                _ => blocks.into_iter().for_each(|block| self.block(block)),
            },
            Some(Container::Quote(_) | Container::List { .. } | Container::Root) | None => {}
        }
    }

    /// Removes white space at the end of the line being read.
    fn trim_end(&mut self) {
        while let Some(Span { content: Inline::Text(text), .. }) = self.spans.last_mut() {
            text.truncate(text.trim_end_matches([' ', '\t']).len());
            if !text.is_empty() {
                break;
            }
            self.spans.pop();
        }
    }

    /// Closes everything.
    pub(super) fn finish(mut self) -> RichText {
        self.end_paragraph();
        while self.open.len() > 1 {
            self.close_last();
        }
        RichText { blocks: self.root }
    }
}

/// White space that HTML collapses; a no-break space is none.
fn is_space(c: char) -> bool {
    c == ' ' || c == '\t' || is_line_break(c)
}

fn kind_of(container: &Container) -> Option<Kind> {
    match container {
        Container::Root => None,
        Container::Quote(_) => Some(Kind::Quote),
        Container::List { .. } => Some(Kind::List),
        Container::Item(_) => Some(Kind::Item),
    }
}
