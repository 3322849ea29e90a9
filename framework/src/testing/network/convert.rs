//! What the scripted network says of what happened in Matrix. Pure.

use super::ScriptedNetwork;
use crate::network::{
    Context, Level, MatrixEvent, MatrixKind, Membership, OpKind, Reject, RemoteOp, Whom,
    event::{Body, Media, Target},
    op::{UPLOAD_URL, Upload},
};

pub(super) fn to_remote(
    event: &MatrixEvent<ScriptedNetwork>,
    context: &Context<ScriptedNetwork>,
) -> Result<Vec<RemoteOp<ScriptedNetwork>>, Reject> {
    let room = event.room.clone();
    let name = &event.sender.display_name;
    let op = |kind, wire: String| {
        Ok(vec![RemoteOp::<ScriptedNetwork> { room: room.clone(), kind, wire: wire.into_bytes(), upload: None }])
    };
    let named = |text: String| if event.sender.own_session { text } else { format!("{name}: {text}") };
    match &event.kind {
        MatrixKind::Message { body, reply_to } => {
            let text = text(body);
            if context.caps.text_max_bytes.is_some_and(|max| text.len() > max) {
                return Err(Reject::TooLong { max: context.caps.text_max_bytes.unwrap_or_default() });
            }
            let to = reply_to.as_ref().map(|target| format!("{}, ", target.author_name)).unwrap_or_default();
            if let [Media { name: file, .. }] = &body.media[..]
                && file == "upload"
            {
                let upload =
                    Upload { name: "long.txt".into(), mime: "text/plain".into(), bytes: b"all of it".to_vec() };
                let wire = named(format!("see {UPLOAD_URL}")).into_bytes();
                return Ok(vec![RemoteOp::<ScriptedNetwork> { room, kind: OpKind::Send, wire, upload: Some(upload) }]);
            }
            if body.emote {
                return op(OpKind::Send, format!("* {name} {text}"));
            }
            op(OpKind::Send, named(format!("{to}{text}")))
        }
        MatrixKind::Edit { target, body } => op(OpKind::Edit(first(target)?), named(format!("{}*", text(body)))),
        MatrixKind::Redact { target, .. } => {
            let message = first(target)?;
            op(OpKind::Redact(message.clone()), format!("{name} takes back {message}"))
        }
        MatrixKind::React { target, key } => op(OpKind::React(first(target)?), named(format!("reacts {key}"))),
        MatrixKind::Unreact { target, key } => {
            op(OpKind::Control, named(format!("no longer reacts {key} to {}", first(target)?)))
        }
        MatrixKind::Topic(topic) => op(OpKind::Control, format!("topic: {topic}")),
        MatrixKind::Name(new) => op(OpKind::Control, format!("name: {new}")),
        MatrixKind::Member { membership, .. } => op(OpKind::Control, format!("{name} {membership:?}")),
        MatrixKind::Act { membership: Membership::Invite, .. } if context.caps.member_actions == Level::Reject => {
            Err(Reject::Unsupported("an invitation".to_owned()))
        }
        MatrixKind::Act { on, membership, .. } => op(OpKind::Control, format!("{name} {membership:?} {on}")),
        MatrixKind::Expel { user_id, .. } => op(OpKind::Control, format!("{name} expels {user_id}")),
        MatrixKind::Pardon { user_id, .. } => op(OpKind::Control, format!("{name} pardons {user_id}")),
        MatrixKind::Power(changes) => {
            let whom = |who: &Whom<String>| match who {
                Whom::Remote(user) => user.clone(),
                Whom::Matrix(user_id) => user_id.to_string(),
            };
            let changes: Vec<_> = changes
                .iter()
                .map(|change| format!("{} {} to {}", whom(&change.who), change.before, change.level))
                .collect();
            op(OpKind::Control, format!("{name} empowers {}", changes.join(", ")))
        }
        MatrixKind::Upgrade { replacement, .. } => op(OpKind::Control, format!("goes on in {replacement}")),
        MatrixKind::DisplayName(new) => op(OpKind::Control, format!("{name} is now {new}")),
    }
}

fn text(body: &Body) -> String {
    let mut text = body.text.to_plain();
    for media in &body.media {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(media.url.as_deref().unwrap_or(&media.name));
    }
    text
}

fn first(target: &Target<String, String>) -> Result<String, Reject> {
    target.messages.first().cloned().ok_or(Reject::UnknownTarget)
}
