//! The origin ids of what is said in a room (XEP-0359), where they are other than the ids of the stanzas, under which messages are known.

use std::collections::{HashMap, VecDeque};

use crate::convert::ids::XmppUser;

/// How many of a room are remembered, the newest.
const MOST: usize = 200;

/// Who called a message what. Corrections and retractions are by who said it, so that nobody's names are in another's way.
#[derive(Debug, Default)]
pub(super) struct Origins {
    ids: HashMap<(XmppUser, String), String>,
    order: VecDeque<(XmppUser, String)>,
}

impl Origins {
    /// What somebody calls `origin` is known as `id`.
    pub(super) fn note(&mut self, who: &XmppUser, origin: &str, id: &str) {
        let name = (who.clone(), origin.to_owned());
        if self.ids.insert(name.clone(), id.to_owned()).is_none() {
            self.order.push_back(name);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Under which id what somebody calls `origin` is known, where that is another.
    pub(super) fn id(&self, who: &XmppUser, origin: &str) -> Option<String> {
        self.ids.get(&(who.clone(), origin.to_owned())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::Jid;

    #[test]
    fn names_are_their_senders_and_the_oldest_are_forgotten() {
        let who = |jid: &str| XmppUser::of_jid(&Jid::parse(jid).unwrap());
        let (bob, eve) = (who("bob@xmpp.test"), who("eve@xmpp.test"));
        let mut origins = Origins::default();
        origins.note(&bob, "o", "m");
        origins.note(&eve, "o", "hers");
        assert_eq!((origins.id(&bob, "o").as_deref(), origins.id(&bob, "p")), (Some("m"), None));
        (0..MOST).for_each(|n| origins.note(&eve, &n.to_string(), "m"));
        assert_eq!((origins.id(&bob, "o"), origins.ids.len(), origins.order.len()), (None, MOST, MOST));
    }
}
