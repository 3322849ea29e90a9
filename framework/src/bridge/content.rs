//! What our events say: bodies as `m.room.message`, with the key under which we know them again.

use ruma::{EventId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};

use super::polls;
use crate::{
    network::{Body, GeoUri, Media, event::MediaKind},
    rich_text::{Block, Mention, RichText, Span},
};

/// Where an event of ours carries its key, so that it closes its outbox row when it comes back.
pub(crate) const KEY: &str = "dev.landbridge.key";

/// Where an event says which file on the web it brings, until Matrix has that.
const WEB_FILE: &str = "dev.landbridge.web_file";

/// A content of which only the key is read: most that comes back to us is of no other interest.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Keyed<'a> {
    #[serde(borrow, default, rename = "dev.landbridge.key")]
    key: Option<&'a RawValue>,
}

impl Keyed<'_> {
    /// The key, if it has one.
    pub(crate) fn key(&self) -> Option<String> {
        serde_json::from_str(self.key?.get()).ok()
    }
}

/// The content of a message.
pub(crate) fn message(body: Body, reply_to: Option<&EventId>, key: &str) -> Json {
    let mut content = inner(body);
    if let Some(event_id) = reply_to {
        content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": event_id } });
    }
    content[KEY] = key.into();
    content
}

/// The content of an edit ([spec](https://spec.matrix.org/v1.19/client-server-api/#event-replacements)).
pub(crate) fn edit(body: Body, target: &EventId, key: &str) -> Json {
    let new = inner(with_links(body));
    let mut content = new.clone();
    for field in ["body", "formatted_body"] {
        if let Some(text) = new[field].as_str() {
            content[field] = format!("* {text}").into();
        }
    }
    // Whoever was mentioned before is not told again.
    content["m.mentions"] = json!({});
    content["m.new_content"] = new;
    content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": target });
    content[KEY] = key.into();
    content
}

/// The content of a reaction.
pub(crate) fn reaction(target: &EventId, with: &str, key: &str) -> Json {
    json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": target, "key": with }, KEY: key })
}

/// With what somebody reacts. A picture of their own is named in words where they name it so
/// ([MSC4027](https://github.com/matrix-org/matrix-spec-proposals/pull/4027)).
pub(crate) fn reaction_key(content: &Json) -> Option<String> {
    let key = content["m.relates_to"]["key"].as_str()?;
    if !key.starts_with("mxc://") {
        return Some(key.to_owned());
    }
    let names = ["shortcode", "com.beeper.reaction.shortcode"];
    let name = names.into_iter().find_map(|field| content[field].as_str());
    let name = name.map(|name| name.trim().trim_matches(':')).filter(|name| !name.is_empty());
    Some(name.map_or_else(|| key.to_owned(), |name| format!(":{name}:")))
}

/// What the bridge itself says.
pub(crate) fn notice(text: &str, reply_to: Option<&EventId>, key: &str) -> Json {
    message(Body { notice: true, ..Body::plain(text) }, reply_to, key)
}

fn inner(body: Body) -> Json {
    let Body { text, emote, notice, mut media, location } = body;
    if media.len() == 1
        && let Some(file) = media.pop_if(|file| file.is_file())
    {
        return self::file(&file, &text);
    }
    let rendered = text.to_matrix();
    if let Some(location) = location.filter(|_| !emote) {
        let (body, mentions) = (rendered.body, rendered.mentions);
        return json!({ "msgtype": "m.location", "body": body, "geo_uri": location, "m.mentions": mentions });
    }
    let msgtype = match (emote, notice) {
        (true, _) => "m.emote",
        (false, true) => "m.notice",
        (false, false) => "m.text",
    };
    let mut content = json!({ "msgtype": msgtype, "body": rendered.body, "m.mentions": rendered.mentions });
    if let Some(html) = rendered.formatted_body {
        content["format"] = "org.matrix.custom.html".into();
        content["formatted_body"] = html.into();
    }
    content
}

fn file(file: &Media, caption: &RichText) -> Json {
    let msgtype = match file.kind {
        MediaKind::Image => "m.image",
        MediaKind::Video => "m.video",
        MediaKind::Audio => "m.audio",
        MediaKind::File => "m.file",
    };
    let caption = caption.to_plain();
    let body = if caption.trim().is_empty() { file.name.clone() } else { caption };
    let mut content = json!({
        "msgtype": msgtype, "body": body, "filename": file.name, "url": file.mxc, "m.mentions": {},
        "info": { "mimetype": file.mime, "size": file.size },
    });
    if let (None, Some(url)) = (&file.mxc, &file.url) {
        content[WEB_FILE] = url.as_str().into();
    }
    content
}

/// The file on the web that an event brings, and the content without that.
pub(crate) fn take_web_file(content: &Json) -> Option<(Json, String)> {
    content.get(WEB_FILE)?;
    let mut content = content.clone();
    let url = content.as_object_mut()?.remove(WEB_FILE)?;
    Some((content, url.as_str()?.to_owned()))
}

/// The content of an event whose file Matrix does not have: a link to it.
pub(crate) fn linked(content: Json, url: &str) -> Json {
    let Json::Object(mut content) = content else { return content };
    let caption = content.get("body").filter(|body| Some(*body) != content.get("filename"));
    let body = caption.and_then(Json::as_str).map_or_else(|| url.to_owned(), |caption| format!("{caption}\n{url}"));
    for field in ["filename", "url", "info"] {
        content.remove(field);
    }
    content.insert("msgtype".to_owned(), "m.text".into());
    content.insert("body".to_owned(), body.into());
    Json::Object(content)
}

/// The type of a message that brings a file of this media type.
pub(crate) fn msgtype(mime: &str) -> &'static str {
    match mime.split('/').next() {
        Some("image") => "m.image",
        Some("video") => "m.video",
        Some("audio") => "m.audio",
        _ => "m.file",
    }
}

/// One body for each event that it needs: the text, and each file. What is no file is linked to.
pub(crate) fn split(body: Body) -> Vec<Body> {
    let Body { text, emote, notice, media, location } = with_links(body);
    let mut bodies = Vec::new();
    if !text.is_blank() || media.is_empty() {
        bodies.push(Body { text, emote, notice, media: Vec::new(), location });
    }
    bodies.extend(media.into_iter().map(|file| Body { media: vec![file], ..Body::default() }));
    bodies
}

/// What is no file stands in the text, as a link.
fn with_links(body: Body) -> Body {
    let Body { mut text, emote, notice, media, location } = body;
    let (files, links): (Vec<Media>, Vec<Media>) = media.into_iter().partition(Media::is_file);
    for link in links.iter().filter_map(|file| file.url.as_deref()) {
        let mut line = RichText::plain(link);
        match (text.blocks.last_mut(), line.blocks.as_mut_slice()) {
            (Some(Block::Paragraph(before)), [Block::Paragraph(link)]) if !before.is_empty() => {
                before.push(Span::line_break());
                before.append(link);
            }
            _ => text.blocks.append(&mut line.blocks),
        }
    }
    // What shows a place says nothing else.
    let location = location.filter(|_| links.is_empty());
    Body { text, emote, notice, media: files, location }
}

/// The body of a Matrix event's content.
pub(crate) fn read(kind: &str, content: &Json) -> Option<Body> {
    if !matches!(kind, "m.room.message" | "m.sticker") {
        return polls::read(kind, content);
    }
    let text_of = |field: &str| content[field].as_str();
    let msgtype = if kind == "m.sticker" { "m.image" } else { text_of("msgtype")? };
    let plain = text_of("body")?;
    let media = match msgtype {
        "m.image" => Some(MediaKind::Image),
        "m.video" => Some(MediaKind::Video),
        "m.audio" => Some(MediaKind::Audio),
        "m.file" => Some(MediaKind::File),
        _ => None,
    };
    if let Some(kind) = media {
        return Some(read_file(content, kind, plain));
    }
    if msgtype == "m.location" {
        return Some(read_location(content, plain));
    }
    let is_reply = content["m.relates_to"]["m.in_reply_to"]["event_id"].is_string();
    let html = text_of("formatted_body").filter(|_| text_of("format") == Some("org.matrix.custom.html"));
    let text = html.map(RichText::from_html).filter(|text| !text.is_blank());
    let text = text.unwrap_or_else(|| RichText::plain(if is_reply { without_fallback(plain) } else { plain }));
    let (emote, notice) = (msgtype == "m.emote", msgtype == "m.notice");
    Some(Body { text, emote, notice, ..Body::default() })
}

/// A place ([spec](https://spec.matrix.org/v1.19/client-server-api/#mlocation)): what is said of it, and where it is.
fn read_location(content: &Json, said: &str) -> Body {
    let is_geo = |uri: &&str| {
        let odd = |c: char| c.is_whitespace() || c.is_control();
        uri.starts_with("geo:") && uri.len() <= GeoUri::LONGEST && !uri.contains(odd)
    };
    let Some(uri) = content["geo_uri"].as_str().filter(is_geo) else { return Body::plain(said) };
    let text = match said.trim() {
        "" => uri.to_owned(),
        said if said.contains(uri) => said.to_owned(),
        said => format!("{said}\n{uri}"),
    };
    Body { location: GeoUri::parse(uri), ..Body::plain(text) }
}

fn read_file(content: &Json, kind: MediaKind, body: &str) -> Body {
    let name = content["filename"].as_str().unwrap_or(body);
    let caption = if body == name { "" } else { body };
    let mxc = content["url"].as_str().map(ruma::OwnedMxcUri::from).filter(|mxc| mxc.is_valid());
    let file = Media {
        mxc,
        url: None,
        name: name.to_owned(),
        mime: content["info"]["mimetype"].as_str().map(str::to_owned),
        size: content["info"]["size"].as_u64(),
        kind,
        fetch: false,
    };
    Body { text: RichText::plain(caption), media: vec![file], ..Body::default() }
}

/// Clients before v1.13 of the spec quote what they answer.
fn without_fallback(body: &str) -> &str {
    if !body.starts_with("> ") {
        return body;
    }
    let mut rest = body;
    while rest.starts_with("> ") || rest == ">" || rest.starts_with(">\n") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    let rest = rest.strip_prefix('\n').unwrap_or(rest);
    if rest.is_empty() { body } else { rest }
}

/// The first words of a text, for answers to it.
pub(crate) fn excerpt(text: &RichText) -> Option<String> {
    const LONGEST: usize = 160;
    let plain = text.to_plain();
    let mut excerpt = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if excerpt.len() > LONGEST {
        excerpt.truncate(excerpt.floor_char_boundary(LONGEST));
        excerpt.push('…');
    }
    (!excerpt.is_empty()).then_some(excerpt)
}

/// Replaces mentions of one side by mentions of the other.
pub(crate) fn mentions_to_remote(text: RichText, user: impl Fn(&OwnedUserId) -> Option<String>) -> RichText {
    text.map_mentions(&mut |mention| match &mention {
        Mention::Matrix(id) => Some(user(id).map_or(mention.clone(), Mention::Remote)),
        Mention::Remote(_) | Mention::Room => Some(mention),
    })
}

/// Replaces mentions of one side by mentions of the other.
pub(crate) fn mentions_to_matrix(text: RichText, user: impl Fn(&str) -> Option<OwnedUserId>) -> RichText {
    text.map_mentions(&mut |mention| match &mention {
        Mention::Remote(id) => user(id).map(Mention::Matrix),
        Mention::Matrix(_) | Mention::Room => Some(mention),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_fallback_is_left_out_of_an_answer() {
        let content = json!({ "msgtype": "m.text", "body": "> <@a:b> hi\n> there\n\nyes", "m.relates_to": { "m.in_reply_to": { "event_id": "$x" } } });
        assert_eq!(read("m.room.message", &content).unwrap().text.to_plain(), "yes");
        let content = json!({ "msgtype": "m.text", "body": "> wisdom" });
        assert_eq!(read("m.room.message", &content).unwrap().text.to_plain(), "> wisdom");
    }

    #[test]
    fn an_edit_says_the_new_text_and_mentions_nobody_again() {
        let content = edit(Body::plain("new"), ruma::event_id!("$old"), "k");
        assert_eq!(content["body"], "* new");
        assert_eq!(content["m.new_content"]["body"], "new");
        assert_eq!(content["m.mentions"], json!({}));
    }

    #[test]
    fn a_reaction_with_a_picture_is_named_as_its_sender_names_it() {
        let key = |key: &str, names: Json| {
            let mut content = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$x", "key": key } });
            content.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
            reaction_key(&content).unwrap()
        };
        let picture = "mxc://hs.test/blobcat";
        assert_eq!(key("👍", json!({ "shortcode": ":wave:" })), "👍");
        assert_eq!(key(picture, json!({ "shortcode": ":blobcat:" })), ":blobcat:");
        assert_eq!(key(picture, json!({ "com.beeper.reaction.shortcode": "blobcat" })), ":blobcat:");
        for none in [json!({}), json!({ "shortcode": " :: " }), json!({ "shortcode": 5 })] {
            assert_eq!(key(picture, none), picture);
        }
        assert_eq!(reaction_key(&json!({})), None);
    }

    #[test]
    fn a_file_on_the_web_is_named_apart_until_matrix_has_it() {
        let file = Media {
            mxc: None,
            url: Some("https://files.test/a.png".to_owned()),
            name: "a.png".to_owned(),
            mime: Some("image/png".to_owned()),
            size: None,
            kind: MediaKind::Image,
            fetch: true,
        };
        let body = Body { media: vec![file.clone()], ..Body::plain("look") };
        let [text, alone] = split(body.clone()).try_into().unwrap();
        assert_eq!((text.text.to_plain().as_str(), text.media.len(), alone.media.len()), ("look", 0, 1));
        let (content, url) = take_web_file(&message(alone, None, "k")).unwrap();
        assert_eq!((url.as_str(), &content["msgtype"]), ("https://files.test/a.png", &json!("m.image")));
        assert!(take_web_file(&content).is_none());
        let link = linked(content, &url);
        assert_eq!((&link["msgtype"], &link["body"]), (&json!("m.text"), &json!("https://files.test/a.png")));
        assert_eq!((link.get("url"), link[KEY].as_str()), (None, Some("k")));
        // Where it is not to be fetched, and in an edit, it is a link.
        let [only] =
            split(Body { media: vec![Media { fetch: false, ..file }], ..Body::plain("look") }).try_into().unwrap();
        assert_eq!(only.text.to_plain(), "look\nhttps://files.test/a.png");
    }

    #[test]
    fn a_place_is_said_in_the_text_too_and_is_a_place_where_it_is_all_that_is_said() {
        const HERE: &str = "geo:48.2082,16.3738;u=35";
        let read = |body: &str, uri: &str| {
            let content = json!({ "msgtype": "m.location", "body": body, "geo_uri": uri });
            let body = read("m.room.message", &content).unwrap();
            (body.text.to_plain(), body.location.map(|location| location.to_string()))
        };
        let here = || Some(HERE.to_owned());
        assert_eq!(read(HERE, HERE), (HERE.to_owned(), here()));
        assert_eq!(read("", HERE), (HERE.to_owned(), here()));
        assert_eq!(read("The cathedral", HERE), (format!("The cathedral\n{HERE}"), here()));
        assert_eq!(read(&format!("I am at {HERE}"), HERE), (format!("I am at {HERE}"), here()));
        assert_eq!(read("Somewhere", "geo:1,2?z=3"), ("Somewhere\ngeo:1,2?z=3".to_owned(), None));
        for odd in ["", "https://evil.test/", "geo:1,2\n3"] {
            assert_eq!(read("Somewhere", odd), ("Somewhere".to_owned(), None), "{odd}");
        }
        let body = Body { location: GeoUri::parse(HERE), ..Body::plain(HERE) };
        let [body] = split(body).try_into().unwrap();
        let content = message(body, None, "k");
        let fields = ["msgtype", "body", "geo_uri"].map(|field| content[field].as_str().unwrap());
        assert_eq!(fields, ["m.location", HERE, HERE]);
    }

    #[test]
    fn an_excerpt_ends_at_a_character() {
        let excerpt = excerpt(&RichText::plain(&"é".repeat(200))).unwrap();
        assert!(excerpt.len() <= 163 && excerpt.ends_with('…'), "{excerpt}");
    }
}
