//! XML as XMPP uses it: `minidom`'s tree, a reader with bounds, a writer that cannot write what would end the link.

mod element;
pub mod error;
#[cfg(test)]
mod hostile;
mod names;
pub mod ns;
mod reader;
mod writer;

#[cfg(test)]
pub(crate) use self::writer::write_any;
pub use self::{
    element::{Element, ElementExt, Node},
    error::{Condition, ErrorKind, StanzaError},
    reader::{Bounds, Head, Piece, ReadError, Reader},
    writer::{Guard, Refused},
};
