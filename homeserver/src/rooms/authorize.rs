//! Whether an event is allowed: <https://spec.matrix.org/v1.19/server-server-api/#authorization-rules>.

use std::sync::Arc;

use ruma::{
    EventId, Int, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::AuthorizationRules,
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
        events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
    },
};
use serde_json::value::RawValue;

use super::Event;

/// Runs a check without its log: the library tells every step of every check at level *info*, several lines for each event that
/// is sent. What matters of it is the answer.
pub(super) fn quietly<T>(check: impl FnOnce() -> T) -> T {
    tracing::dispatcher::with_default(&tracing::Dispatch::none(), check)
}

/// The keys of the state that decide about an event, the create event left out.
pub(super) fn auth_keys(
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
    rules: &AuthorizationRules,
) -> Result<Vec<(StateEventType, String)>, String> {
    let mut keys = auth_types_for_event(kind, sender, state_key, content, rules)?;
    keys.retain(|(kind, _)| *kind != StateEventType::RoomCreate);
    Ok(keys)
}

/// Checks an event against itself and its auth events.
pub(super) fn check_itself(
    rules: &AuthorizationRules,
    event: &Event,
    auth_events: &[Arc<Event>],
    create: Option<&Arc<Event>>,
) -> Result<(), String> {
    quietly(|| {
        check_state_independent_auth_rules(rules, event, |id: &EventId| {
            auth_events.iter().chain(create).find(|event| event.event_id == *id).cloned()
        })
    })
}

/// Checks an event against a state, of which only what decides is needed.
pub(super) fn check_against(
    rules: &AuthorizationRules,
    event: &Event,
    state: &[Arc<Event>],
    create: Option<&Arc<Event>>,
) -> Result<(), String> {
    quietly(|| {
        check_state_dependent_auth_rules(rules, event, |kind: &StateEventType, state_key: &str| {
            state.iter().chain(create).find(|event| is_at(event, kind, state_key)).cloned()
        })
    })
}

/// Whether an event stands at a place of the state.
pub(super) fn is_at(event: &Event, kind: &StateEventType, state_key: &str) -> bool {
    event.state_key.as_deref() == Some(state_key) && event.kind == TimelineEventType::from(kind.clone())
}

/// Whether a user has the power that a field of the power levels asks for.
pub(super) fn has_power(
    rules: &AuthorizationRules,
    user: &UserId,
    field: RoomPowerLevelsIntField,
    power_levels: Option<&Arc<Event>>,
    create: &Arc<Event>,
) -> Result<bool, String> {
    reaches(rules, user, power_levels, create, |levels| levels.get_as_int_or_default(field, rules))
}

/// Whether a user has the power to send a type of state event.
pub(super) fn may_send_state(
    rules: &AuthorizationRules,
    user: &UserId,
    kind: &str,
    power_levels: Option<&Arc<Event>>,
    create: &Arc<Event>,
) -> Result<bool, String> {
    let kind = TimelineEventType::from(kind);
    reaches(rules, user, power_levels, create, |levels| levels.event_power_level(&kind, Some(""), rules))
}

/// Whether a user's power reaches what the power levels ask for; without power levels, only the creators' does.
fn reaches(
    rules: &AuthorizationRules,
    user: &UserId,
    power_levels: Option<&Arc<Event>>,
    create: &Arc<Event>,
    needed: impl FnOnce(&RoomPowerLevelsEvent<&Arc<Event>>) -> Result<Int, String>,
) -> Result<bool, String> {
    let creators = RoomCreateEvent::new(create).creators(rules)?;
    if rules.explicitly_privilege_room_creators && creators.contains(user) {
        return Ok(true);
    }
    let Some(power_levels) = power_levels else { return Ok(creators.contains(user)) };
    let power_levels = RoomPowerLevelsEvent::new(power_levels);
    let needed = needed(&power_levels)?;
    Ok(power_levels.user_power_level(user, rules)? >= needed)
}
