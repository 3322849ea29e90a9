//! HTML → [`RichText`].

use ruma::{MatrixToUri, MatrixUri, OwnedUserId, matrix_uri::MatrixId};

use super::{
    MAX_HTML,
    builder::{Builder, Kind},
    colour, entity, is_safe_link,
    token::{Attributes, Token, Tokens},
};
use crate::rich_text::{Block, Mention, RichText, Style, is_unwanted, normalize_newlines};

/// How many inline elements may be open; further ones are ignored.
const MAX_INLINE: usize = 64;

/// Reads `html`, at most [`MAX_HTML`] bytes of it.
pub(super) fn parse(html: &str) -> RichText {
    let mut parser = Parser {
        builder: Builder::new(),
        open: Vec::new(),
        style: Style::default(),
        link: None,
        hidden: None,
        code: None,
        mention: None,
    };
    for token in Tokens::new(&html[..html.floor_char_boundary(MAX_HTML)]) {
        match token {
            Token::Text(text) => parser.text(text),
            Token::Open { name, attributes } => parser.open(&name, &attributes),
            Token::Close(name) => parser.close(&name),
        }
    }
    parser.end_code();
    parser.end_block();
    parser.builder.finish()
}

struct Parser {
    builder: Builder,
    /// The inline elements that are open, outermost first.
    open: Vec<Element>,
    /// What they make together.
    style: Style,
    link: Option<String>,
    /// The element whose content is left out, and how often it is nested in itself.
    hidden: Option<(String, usize)>,
    /// The code block being read, and its language.
    code: Option<(String, Option<String>)>,
    /// The link to a user being read: who, what is written in it, and how.
    mention: Option<(OwnedUserId, String, Style)>,
}

/// An inline element.
struct Element {
    name: String,
    effect: Effect,
}

enum Effect {
    Style(fn(&mut Style)),
    Colours(Style),
    Link(String),
    Nothing,
}

impl Parser {
    fn text(&mut self, raw: &str) {
        if self.hidden.is_some() {
            return;
        }
        let text = entity::decode(raw);
        if let Some((code, _)) = &mut self.code {
            code.extend(normalize_newlines(&text).chars().filter(|c| *c == '\n' || !is_unwanted(*c)));
        } else {
            self.shown(&text);
        }
    }

    /// Adds text that the reader sees.
    fn shown(&mut self, text: &str) {
        match &mut self.mention {
            Some((_, shown, _)) => shown.push_str(text),
            None => self.builder.text(text, &self.style, self.link.as_deref()),
        }
    }

    fn open(&mut self, name: &str, attributes: &Attributes<'_>) {
        if let Some((hidden, depth)) = &mut self.hidden {
            if hidden == name {
                *depth += 1;
            }
            return;
        }
        if is_hidden(name) {
            self.hidden = Some((name.to_owned(), 1));
            return;
        }
        if self.code.is_some() {
            self.open_in_code(name, attributes);
            return;
        }
        if !self.open_block(name, attributes) {
            self.open_inline(name, attributes);
        }
    }

    fn open_in_code(&mut self, name: &str, attributes: &Attributes<'_>) {
        let Some((text, language)) = &mut self.code else { return };
        match name {
            "br" => text.push('\n'),
            "code" if language.is_none() => *language = code_language(attributes),
            _ => {}
        }
    }

    /// Opens a block; `false` if the element is none.
    fn open_block(&mut self, name: &str, attributes: &Attributes<'_>) -> bool {
        match name {
            "blockquote" | "ul" | "ol" | "li" | "pre" | "hr" => self.end_block(),
            "td" | "th" => {
                self.end_mention();
                if !self.builder.spans.is_empty() {
                    self.builder.text(" | ", &Style::default(), None);
                }
                return true;
            }
            _ if is_block(name) => {
                self.end_block();
                if let Some(level) = heading_level(name) {
                    self.builder.start_heading(level);
                }
                return true;
            }
            _ => return false,
        }
        match name {
            "blockquote" => self.builder.start_quote(),
            "ul" => self.builder.start_list(None),
            "ol" => {
                let start = attributes.value("start").and_then(|start| start.trim().parse().ok());
                self.builder.start_list(Some(start.unwrap_or(1)));
            }
            "li" => self.builder.start_item(),
            "pre" => self.code = Some((String::new(), None)),
            _ => self.builder.block(Block::Rule),
        }
        true
    }

    fn open_inline(&mut self, name: &str, attributes: &Attributes<'_>) {
        let effect = match name {
            "br" if self.mention.is_some() => return self.shown(" "),
            "br" => return self.builder.line_break(),
            "img" => return self.image(attributes),
            "b" | "strong" => Effect::Style(|style| style.bold = true),
            "i" | "em" | "cite" | "dfn" | "var" => Effect::Style(|style| style.italic = true),
            "u" | "ins" => Effect::Style(|style| style.underline = true),
            "s" | "del" | "strike" => Effect::Style(|style| style.strike = true),
            "code" | "tt" | "kbd" | "samp" => Effect::Style(|style| style.monospace = true),
            "a" => self.anchor(attributes),
            "span" | "font" => self.span(attributes),
            _ => return,
        };
        if self.open.len() < MAX_INLINE {
            self.open.push(Element { name: name.to_owned(), effect });
            self.fold();
        }
    }

    fn anchor(&mut self, attributes: &Attributes<'_>) -> Effect {
        let href = attributes.value("href").unwrap_or_default();
        let href = href.trim();
        self.end_mention();
        if let Some(user) = linked_user(href) {
            self.mention = Some((user, String::new(), self.style.clone()));
            Effect::Nothing
        } else if is_safe_link(href) {
            Effect::Link(href.to_owned())
        } else {
            Effect::Nothing
        }
    }

    fn span(&mut self, attributes: &Attributes<'_>) -> Effect {
        let value = |names: [&str; 2]| {
            names.iter().find_map(|name| attributes.value(name)).and_then(|text| colour::parse(&text))
        };
        let spoiler = attributes.value("data-mx-spoiler");
        if let Some(reason) = spoiler.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) {
            self.shown(&format!("({reason}) "));
        }
        Effect::Colours(Style {
            foreground: value(["data-mx-color", "color"]),
            background: value(["data-mx-bg-color", "data-mx-bg-color"]),
            spoiler: spoiler.is_some(),
            ..Style::default()
        })
    }

    /// An image is its description: custom emoji have one.
    fn image(&mut self, attributes: &Attributes<'_>) {
        let text =
            ["alt", "title"].iter().find_map(|name| attributes.value(name).filter(|text| !text.trim().is_empty()));
        self.shown(text.as_deref().unwrap_or("[image]"));
    }

    fn close(&mut self, name: &str) {
        if let Some((hidden, depth)) = &mut self.hidden {
            if hidden == name {
                *depth -= 1;
                if *depth == 0 {
                    self.hidden = None;
                }
            }
            return;
        }
        if self.code.is_some() {
            if name == "pre" {
                self.end_code();
            }
            return;
        }
        match name {
            "blockquote" => self.close_container(Kind::Quote),
            "ul" | "ol" => self.close_container(Kind::List),
            "li" => self.close_container(Kind::Item),
            "td" | "th" => {}
            _ if is_block(name) => self.end_block(),
            _ => self.close_inline(name),
        }
    }

    fn close_container(&mut self, kind: Kind) {
        self.end_block();
        self.builder.close(kind);
    }

    fn close_inline(&mut self, name: &str) {
        if name == "a" {
            self.end_mention();
        }
        if let Some(at) = self.open.iter().rposition(|element| element.name == name) {
            self.open.remove(at);
            self.fold();
        }
    }

    /// Ends the paragraph; a mention that is still open ends with it.
    fn end_block(&mut self) {
        self.end_mention();
        self.builder.end_paragraph();
    }

    fn end_mention(&mut self) {
        let Some((user, mut shown, style)) = self.mention.take() else { return };
        if shown.trim().is_empty() {
            shown.push_str(user.as_str());
        }
        self.builder.mention(Mention::Matrix(user), &shown, style);
    }

    fn end_code(&mut self) {
        let Some((text, language)) = self.code.take() else { return };
        let text = text.strip_prefix('\n').unwrap_or(&text).trim_end_matches('\n').to_owned();
        if !text.is_empty() {
            self.builder.block(Block::Code { language, text });
        }
    }

    /// Works out the style from the elements that are open, so that wrongly nested ones end where they say.
    fn fold(&mut self) {
        self.style = Style::default();
        self.link = None;
        for Element { effect, .. } in &self.open {
            match effect {
                Effect::Style(apply) => apply(&mut self.style),
                Effect::Colours(colours) => {
                    self.style.foreground = colours.foreground.or(self.style.foreground);
                    self.style.background = colours.background.or(self.style.background);
                    self.style.spoiler |= colours.spoiler;
                }
                Effect::Link(link) => self.link = Some(link.clone()),
                Effect::Nothing => {}
            }
        }
    }
}

/// Elements whose content is no part of the message.
fn is_hidden(name: &str) -> bool {
    matches!(
        name,
        "mx-reply"
            | "script"
            | "style"
            | "title"
            | "template"
            | "iframe"
            | "object"
            | "noscript"
            | "noembed"
            | "noframes"
            | "textarea"
            | "svg"
            | "math"
    )
}

fn is_block(name: &str) -> bool {
    heading_level(name).is_some()
        || matches!(
            name,
            "p" | "div"
                | "table"
                | "tr"
                | "caption"
                | "thead"
                | "tbody"
                | "tfoot"
                | "details"
                | "summary"
                | "section"
                | "article"
                | "header"
                | "footer"
                | "main"
                | "nav"
                | "aside"
                | "figure"
                | "figcaption"
                | "dl"
                | "dt"
                | "dd"
                | "address"
                | "center"
                | "form"
                | "body"
        )
}

fn heading_level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ => None,
    }
}

fn code_language(attributes: &Attributes<'_>) -> Option<String> {
    let class = attributes.value("class")?;
    let language = class.split_ascii_whitespace().find_map(|class| class.strip_prefix("language-"))?;
    let safe = language.len() <= 32
        && !language.is_empty()
        && language.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-#._".contains(&b));
    safe.then(|| language.to_owned())
}

/// The user a link leads to: `https://matrix.to/#/@user:server` or `matrix:u/user:server`.
fn linked_user(href: &str) -> Option<OwnedUserId> {
    // The parser of these links fails on an empty part between two slashes; no id has one.
    let is_empty_part = href.split_once("://").is_some_and(|(_, rest)| rest.contains("//"));
    if href.len() > 2048 || is_empty_part {
        return None;
    }
    let id = match MatrixToUri::parse(href) {
        Ok(uri) => uri.id().clone(),
        Err(_) => MatrixUri::parse(href).ok()?.id().clone(),
    };
    match id {
        MatrixId::User(user) if user.as_str().len() <= 255 && !user.as_str().contains(is_unwanted) => Some(user),
        _ => None,
    }
}
