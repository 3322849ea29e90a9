//! The names of our seats, and seats that an earlier life of the bridge left.

use super::*;

#[test]
fn another_name_is_another_nick_and_a_taken_one_leads_up_the_ladder() {
    let mut room = listening();
    enter(&mut room, &ann(), ANN, "Ann");
    let asked = |out: Vec<Out>| match out.as_slice() {
        [Out::Send(ask)] => ask.to().unwrap().resource().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(room.rename(&ann(), "Bob")), "Bob");
    assert_eq!(room.seat(&ann()).unwrap().nick, "Ann", "until the room says so");
    // An error for something else says nothing about it.
    assert_eq!(room.presence_came(&error("Ann", "cancel", "conflict"), &ann()), []);
    assert_eq!(asked(room.presence_came(&error("Bob", "cancel", "conflict"), &ann())), "Bob [m]");
    let new = item().with("nick", "Bob [m]");
    room.presence_came(&presence("Ann", "unavailable", &[new, status(303), status(110)]), &ann());
    room.presence_came(&presence("Bob [m]", "", &[item(), status(110)]), &ann());
    assert!(room.is_in(&ann()) && room.is_own("Bob [m]") && !room.is_own("Ann"));
    assert_eq!(room.presence_came(&error("Bob [m]", "cancel", "conflict"), &ann()), [], "that is over");
    // Who may have no other name keeps the one they have.
    room.rename(&ann(), "Eve");
    assert_eq!(room.presence_came(&error("Eve", "auth", "forbidden"), &ann()), []);
    assert!(room.is_in(&ann()) && room.is_own("Bob [m]"));
}

#[test]
fn what_servers_do_not_take_of_a_name_is_said_beside_the_nick() {
    let mut room = listening();
    let out = room.join(&ann(), &jid(ANN), "🫠 melting", None);
    let [Out::Send(ask)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(ask.to().unwrap().resource(), Some("melting"));
    assert_eq!(ask.get_child("nick", ns::NICK).map(Element::text).as_deref(), Some("🫠 melting"));
}

#[test]
fn nobody_has_a_seat_left_by_an_earlier_life_and_whoever_leaves_leaves_it() {
    let mut room = listening();
    let leaves = |room: &mut Room| room.leave_whatever(&ann(), &jid(ANN), "Ann", None);
    assert_eq!(leaves(&mut room), [], "none of ours is there");
    bob_here(&mut room);
    assert_eq!(leaves(&mut room), []);
    let mark = Marks::new("s3cret").occupant(ROOM, "Ann [m]");
    let own = Element::bare("own", ns::OWN).with("mark", mark);
    room.presence_came(&presence("Ann [m]", "", &[item()]).child(own), &SeatId::Listener);
    let out = leaves(&mut room);
    let [Out::Send(goes)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!((goes.attr("from"), goes.kind()), (Some(ANN), "unavailable"));
    assert_eq!(goes.to().unwrap().resource(), Some("Ann [m]"));
    assert_eq!(leaves(&mut room), [], "once");
}
