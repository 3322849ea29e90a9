//! Namespaces, each named by the document that defines it.

macro_rules! namespaces {
    ($($(#[$doc:meta])* $name:ident = $uri:literal;)*) => {$($(#[$doc])* pub const $name: &str = $uri;)*};
}

namespaces! {
    /// Streams (RFC 6120).
    STREAM = "http://etherx.jabber.org/streams";
    /// Stream errors (RFC 6120).
    STREAM_ERROR = "urn:ietf:params:xml:ns:xmpp-streams";
    /// Stanza errors (RFC 6120).
    STANZA_ERROR = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// The component link (XEP-0114).
    COMPONENT = "jabber:component:accept";
    /// Stanzas of clients, as archives hold them.
    CLIENT = "jabber:client";
    /// Data forms (XEP-0004).
    DATA = "jabber:x:data";
    /// Service discovery (XEP-0030).
    DISCO_INFO = "http://jabber.org/protocol/disco#info";
    /// Service discovery (XEP-0030).
    DISCO_ITEMS = "http://jabber.org/protocol/disco#items";
    /// Rooms (XEP-0045).
    MUC = "http://jabber.org/protocol/muc";
    /// Rooms, for users (XEP-0045).
    MUC_USER = "http://jabber.org/protocol/muc#user";
    /// Rooms, for administrators (XEP-0045).
    MUC_ADMIN = "http://jabber.org/protocol/muc#admin";
    /// Rooms, for owners (XEP-0045).
    MUC_OWNER = "http://jabber.org/protocol/muc#owner";
    /// The configuration of rooms (XEP-0045).
    MUC_CONFIG = "http://jabber.org/protocol/muc#roomconfig";
    /// Asking for a voice (XEP-0045).
    MUC_REQUEST = "http://jabber.org/protocol/muc#request";
    /// vCards (XEP-0054).
    VCARD = "vcard-temp";
    /// Result sets (XEP-0059).
    RSM = "http://jabber.org/protocol/rsm";
    /// Publish and subscribe (XEP-0060).
    PUBSUB = "http://jabber.org/protocol/pubsub";
    /// What a publisher tells (XEP-0060).
    PUBSUB_EVENT = "http://jabber.org/protocol/pubsub#event";
    /// A link beside the text (XEP-0066).
    OOB = "jabber:x:oob";
    /// Formatted text (XEP-0071).
    XHTML_IM = "http://jabber.org/protocol/xhtml-im";
    /// The body of formatted text (XEP-0071).
    XHTML = "http://www.w3.org/1999/xhtml";
    /// Avatars (XEP-0084).
    AVATAR_DATA = "urn:xmpp:avatar:data";
    /// Avatars (XEP-0084).
    AVATAR_METADATA = "urn:xmpp:avatar:metadata";
    /// Chat states (XEP-0085).
    CHAT_STATES = "http://jabber.org/protocol/chatstates";
    /// Software version (XEP-0092).
    VERSION = "jabber:iq:version";
    /// Abilities (XEP-0115).
    CAPS = "http://jabber.org/protocol/caps";
    /// Avatar hashes in presence (XEP-0153).
    VCARD_UPDATE = "vcard-temp:x:update";
    /// Nicknames (XEP-0172).
    NICK = "http://jabber.org/protocol/nick";
    /// Receipts (XEP-0184).
    RECEIPTS = "urn:xmpp:receipts";
    /// Pings (XEP-0199).
    PING = "urn:xmpp:ping";
    /// Delays (XEP-0203).
    DELAY = "urn:xmpp:delay";
    /// Direct invitations (XEP-0249).
    CONFERENCE = "jabber:x:conference";
    /// Forwarded stanzas (XEP-0297).
    FORWARD = "urn:xmpp:forward:0";
    /// Corrections (XEP-0308).
    CORRECT = "urn:xmpp:message-correct:0";
    /// Archives (XEP-0313).
    MAM = "urn:xmpp:mam:2";
    /// Markers (XEP-0333).
    MARKERS = "urn:xmpp:chat-markers:0";
    /// Hints (XEP-0334).
    HINTS = "urn:xmpp:hints";
    /// Stable ids (XEP-0359).
    SID = "urn:xmpp:sid:0";
    /// Uploads (XEP-0363).
    UPLOAD = "urn:xmpp:http:upload:0";
    /// Encryption of which a body only speaks (XEP-0380).
    EME = "urn:xmpp:eme:0";
    /// OMEMO (XEP-0384), as most clients speak it.
    OMEMO = "eu.siacs.conversations.axolotl";
    /// Occupant ids (XEP-0421).
    OCCUPANT_ID = "urn:xmpp:occupant-id:0";
    /// Attaching to messages, in the old form of retraction (XEP-0422).
    FASTEN = "urn:xmpp:fasten:0";
    /// Retraction (XEP-0424), old.
    RETRACT_0 = "urn:xmpp:message-retract:0";
    /// Retraction (XEP-0424).
    RETRACT_1 = "urn:xmpp:message-retract:1";
    /// Moderation (XEP-0425), old.
    MODERATE_0 = "urn:xmpp:message-moderate:0";
    /// Moderation (XEP-0425).
    MODERATE_1 = "urn:xmpp:message-moderate:1";
    /// Text that stands in for something else (XEP-0428).
    FALLBACK = "urn:xmpp:fallback:0";
    /// Reactions (XEP-0444).
    REACTIONS = "urn:xmpp:reactions:0";
    /// File metadata (XEP-0446).
    FILE = "urn:xmpp:file:metadata:0";
    /// File sharing (XEP-0447).
    SFS = "urn:xmpp:sfs:0";
    /// URLs as sources of files (XEP-0103).
    URL_DATA = "http://jabber.org/protocol/url-data";
    /// Replies (XEP-0461).
    REPLY = "urn:xmpp:reply:0";
    /// By which our own occupants are known to us after a restart.
    OWN = "https://landbridge.dev/xmpp/occupant";
}
