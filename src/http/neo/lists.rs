//! Lists of messages in answers: read and written piece by piece.

use crate::http::streaming::{Interrupted, Writer};
use crate::service::MessageList;
use crate::wire::neo::{Dates, message_content, message_simple};

/// How every answer begins that shows something.
pub(super) const BEGINNING: &str = r#"{"success":true,"content":"#;

/// An array of Message.simple.
pub(super) async fn write_simple(out: &mut Writer, list: &MessageList) -> Result<(), Interrupted> {
    out.text("[").await?;
    let mut first = true;
    for piece in list.pieces() {
        for message in list.messages(piece).await? {
            out.item(&mut first, &message_simple(&message, Dates::Rest)).await?;
        }
    }
    out.text("]").await
}

/// An array of Message.content.
pub(super) async fn write_contents(
    out: &mut Writer,
    list: &MessageList,
) -> Result<(), Interrupted> {
    out.text("[").await?;
    let mut first = true;
    for piece in list.pieces() {
        for message in list.written(piece).await? {
            out.item(&mut first, &message_content(&message, Dates::Rest)).await?;
        }
    }
    out.text("]").await
}
