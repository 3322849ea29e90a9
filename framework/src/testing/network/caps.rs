//! What the scripted network can, unless the test says otherwise.

use crate::network::{Caps, Level};

/// Everything crosses.
pub(super) fn full() -> Caps {
    let full = Level::Full;
    Caps {
        formatting: full,
        media: full,
        reply: full,
        edit: full,
        redact: full,
        react: full,
        typing: full,
        receipts: full,
        topic: full,
        name: full,
        member_actions: full,
        ..Caps::default()
    }
}
