//! What happened on IRC → what Matrix must be told. Formatting was read when the line came in; here nicks become mentions,
//! because who can be mentioned is known in the room's lane.

use landbridge::network::{
    MatrixOpKind, Reject,
    op::{Context, MatrixOp, carry_over},
};

use super::{
    ids::{IrcRoom, IrcUser},
    mentions::Roster,
    outgoing::facts,
};
use crate::{casemapping::Casemapping, config::MentionOptions};

/// The event as the network module ingests it.
pub type Event = landbridge::network::event::RemoteEvent<IrcRoom, IrcUser, String>;

/// Turns an event into what Matrix must be told.
///
/// # Errors
/// None so far: every event crosses.
pub fn to_matrix(
    event: &Event,
    context: &Context<IrcUser>,
    options: &MentionOptions,
) -> Result<Vec<MatrixOp<IrcUser, String>>, Reject> {
    let mut ops = carry_over(event);
    for op in &mut ops {
        if let MatrixOpKind::Send { body, .. } | MatrixOpKind::Edit { body, .. } = &mut op.kind {
            let roster = Roster::new(context, casemapping(context));
            body.text = roster.mark(std::mem::take(&mut body.text), options);
        }
    }
    Ok(ops)
}

/// The server's casemapping, as the session told it.
pub(super) fn casemapping(context: &Context<IrcUser>) -> Casemapping {
    context.caps.facts.get(facts::CASEMAPPING).map(|name| Casemapping::parse(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use landbridge::network::{Body, Caps};
    use ruma::user_id;

    use super::*;
    use crate::convert::formatting;

    #[test]
    fn nicks_become_mentions_and_formatting_stays() {
        let event = Event::Message {
            room: IrcRoom::channel("#rust").unwrap(),
            sender: IrcUser::new("bob", Casemapping::Ascii),
            name: None,
            id: Some("m1".into()),
            at: None,
            body: Body { text: formatting::decode("Alice: \x02look\x02 @room"), ..Body::default() },
            reply_to: None,
        };
        let context = Context {
            caps: Caps::default(),
            members: Vec::new(),
            puppets: vec![(user_id!("@alice:here").to_owned(), "alice".into())],
            server_name: "here".into(),
        };
        let ops = to_matrix(&event, &context, &MentionOptions::default()).unwrap();
        let [MatrixOp { kind: MatrixOpKind::Send { body, .. }, .. }] = ops.as_slice() else { panic!("{ops:?}") };
        let rendered = body.text.to_matrix();
        assert_eq!(rendered.body, "Alice: look @room");
        assert_eq!(
            rendered.formatted_body.as_deref(),
            Some("<a href=\"https://matrix.to/#/@alice:here\">Alice</a>: <strong>look</strong> @room")
        );
        assert!(rendered.mentions.user_ids.contains(user_id!("@alice:here")));
        assert!(!rendered.mentions.room);
    }
}
