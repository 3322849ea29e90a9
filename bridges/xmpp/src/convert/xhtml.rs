//! XHTML-IM ([XEP-0071](https://xmpp.org/extensions/xep-0071.html)), read only: the HTML in it is trusted no more than Matrix's.

use landbridge::rich_text::RichText;

use crate::stanza::{Element, Node, ns};

/// The text of an `<html/>`; `None` where there is none.
pub fn decode(html: &Element) -> Option<RichText> {
    let body = html.get_child("body", ns::XHTML)?;
    let mut out = String::new();
    body.nodes().for_each(|node| write(node, &mut out));
    let text = RichText::from_html(&out);
    (!text.is_blank()).then_some(text)
}

fn write(node: &Node, out: &mut String) {
    match node {
        Node::Text(text) => escape(text, out),
        Node::Element(element) => {
            let name: String = element.name().chars().filter(char::is_ascii_alphanumeric).collect();
            out.push('<');
            out.push_str(&name);
            if let Some(href) = element.attr("href").filter(|_| name == "a") {
                out.push_str(" href=\"");
                escape(href, out);
                out.push('"');
            }
            out.push('>');
            let styled = styles(element);
            styled.iter().for_each(|tag| out.push_str(&format!("<{tag}>")));
            element.nodes().for_each(|node| write(node, out));
            styled.iter().rev().for_each(|tag| out.push_str(&format!("</{tag}>")));
            if !matches!(name.as_str(), "br" | "img" | "hr") {
                out.push_str("</");
                out.push_str(&name);
                out.push('>');
            }
        }
    }
}

/// Clients write bold and italic as styles.
fn styles(element: &Element) -> Vec<&'static str> {
    let style = element.attr("style").unwrap_or_default().to_ascii_lowercase();
    let has = |property: &str, value: &str| {
        style
            .split(';')
            .filter_map(|part| part.split_once(':'))
            .any(|(name, text)| name.trim() == property && text.contains(value))
    };
    [
        (has("font-weight", "bold"), "strong"),
        (has("font-style", "italic"), "em"),
        (has("text-decoration", "underline"), "u"),
        (has("text-decoration", "line-through"), "del"),
    ]
    .into_iter()
    .filter_map(|(is, tag)| is.then_some(tag))
    .collect()
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::ElementExt as _;

    #[test]
    fn styles_and_links_are_kept_and_scripts_are_not() {
        let span =
            Element::bare("span", ns::XHTML).with("style", "font-weight: bold; color: red").with_text("bold <b>");
        let link = Element::bare("a", ns::XHTML).with("href", "javascript:alert(1)").with_text("evil");
        let script = Element::bare("script", ns::XHTML).with_text("alert(2)");
        let body = Element::bare("body", ns::XHTML).child(span).child(link).child(script);
        let text = decode(&Element::bare("html", ns::XHTML_IM).child(body)).unwrap();
        let html = text.to_html();
        assert!(html.contains("<strong>bold &lt;b&gt;</strong>"), "{html}");
        assert!(!html.contains("javascript"), "{html}");
    }
}
