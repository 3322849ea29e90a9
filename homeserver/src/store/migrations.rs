//! The steps of the schema, in order. A step is never edited once merged.

use landbridge_sql::Migration;

macro_rules! step {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        }
    };
}

pub(crate) const STEPS: &[Migration] = &[
    step!(1, "0001_rooms"),
    step!(2, "0002_accounts"),
    step!(3, "0003_sessions"),
    step!(4, "0004_media"),
    step!(5, "0005_service_keys"),
    step!(10, "0010_relations"),
    step!(11, "0011_push"),
    step!(12, "0012_reports"),
    step!(13, "0013_search"),
    step!(30, "0030_guests"),
    step!(31, "0031_paused"),
    step!(32, "0032_login_tokens"),
    step!(33, "0033_search_forgets"),
    step!(34, "0034_dehydrated"),
    step!(35, "0035_profile_fields"),
    step!(36, "0036_no_edges"),
    step!(37, "0037_state_steps"),
    step!(38, "0038_batches"),
    step!(41, "0041_frozen_media"),
    step!(51, "0051_key_order"),
    step!(52, "0052_alias_creators"),
    step!(61, "0061_deleted_rooms"),
    step!(62, "0062_thumbnails"),
    step!(63, "0063_search_history"),
    step!(71, "0071_indices"),
];
