//! What happened on XMPP → what Matrix must be told. Messages were read when they came in; here nicks become mentions, because who can
//! be mentioned is known in the room's lane.

use landbridge::{
    network::{
        MatrixOpKind, Reject,
        op::{Context, MatrixOp, carry_over},
    },
    rich_text::{Block, Inline, Mention, RichText, Span},
};

use super::ids::{XmppMessage, XmppRoom, XmppUser};

/// The event as the network module ingests it.
pub type Event = landbridge::network::event::RemoteEvent<XmppRoom, XmppUser, XmppMessage>;

/// Turns an event into what Matrix must be told.
///
/// # Errors
/// None so far: every event crosses.
pub fn to_matrix(event: &Event, context: &Context<XmppUser>) -> Result<Vec<MatrixOp<XmppUser, XmppMessage>>, Reject> {
    let mut ops = carry_over(event);
    for op in &mut ops {
        if let MatrixOpKind::Send { body, .. } | MatrixOpKind::Edit { body, .. } = &mut op.kind {
            address(&mut body.text, context);
        }
    }
    Ok(ops)
}

/// Clients begin with the nick of whom they address, a colon or a comma behind it.
fn address(text: &mut RichText, context: &Context<XmppUser>) {
    let Some(Block::Paragraph(spans)) = text.blocks.first_mut() else { return };
    let Some(Span { content: Inline::Text(first), style, link: None }) = spans.first() else { return };
    let matrix = context.puppets.iter().map(|(user_id, nick)| (nick.as_str(), user_id));
    let remote = context.members.iter().map(|(_, nick, user_id)| (nick.as_str(), user_id));
    let addressed = matrix.chain(remote).filter(|(nick, _)| {
        nick.len() >= 2 && first.strip_prefix(nick).is_some_and(|rest| rest.starts_with([':', ',']))
    });
    let Some((nick, user_id)) = addressed.max_by_key(|(nick, _)| nick.len()) else { return };
    let mention = Span { style: style.clone(), ..Span::mention(Mention::Matrix(user_id.clone()), nick) };
    let rest = Span { style: style.clone(), ..Span::text(&first[nick.len()..]) };
    spans.splice(0..1, [mention, rest]);
}

#[cfg(test)]
mod tests {
    use landbridge::network::{Body, Caps};
    use ruma::user_id;

    use super::*;
    use crate::jid::Jid;

    #[test]
    fn who_is_addressed_is_mentioned() {
        let room = XmppRoom::muc("tea@muc.test").unwrap();
        let bob = XmppUser::of_jid(&Jid::parse("bob@xmpp.test").unwrap());
        let context = Context {
            caps: Caps::default(),
            members: Vec::new(),
            puppets: vec![
                (user_id!("@ann:hs").to_owned(), "Ann".into()),
                (user_id!("@annb:hs").to_owned(), "Ann B".into()),
            ],
            server_name: "hs".into(),
        };
        let rendered = |text: &str| {
            let event = Event::said(room.clone(), bob.clone(), Body::plain(text));
            let ops = to_matrix(&event, &context).unwrap();
            let [MatrixOp { kind: MatrixOpKind::Send { body, .. }, .. }] = ops.as_slice() else { panic!("{ops:?}") };
            body.text.to_matrix()
        };
        let addressed = rendered("Ann B: look");
        assert!(addressed.mentions.user_ids.contains(user_id!("@annb:hs")));
        assert_eq!(addressed.body, "Ann B: look");
        assert!(rendered("Annabel: look").mentions.user_ids.is_empty());
        assert!(rendered("look, Ann: there").mentions.user_ids.is_empty());
    }
}
