//! The room versions this server speaks: <https://spec.matrix.org/v1.19/rooms/>.

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};

use super::RoomError;

/// The version of a room whose maker asks for none, as the spec recommends.
pub const DEFAULT_ROOM_VERSION: RoomVersionId = RoomVersionId::V12;

/// The versions this server makes and takes part in. Older ones do not enforce canonical JSON.
pub const SUPPORTED_ROOM_VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// The rules of a version that this server speaks.
pub(crate) fn rules(version: &RoomVersionId) -> Result<RoomVersionRules, RoomError> {
    if !SUPPORTED_ROOM_VERSIONS.contains(version) {
        return Err(RoomError::UnsupportedVersion(version.to_string()));
    }
    version.rules().ok_or_else(|| RoomError::UnsupportedVersion(version.to_string()))
}
