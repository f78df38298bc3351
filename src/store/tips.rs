//! Where many conversations stand, with a few statements for all of them.

use std::collections::{HashMap, HashSet};

use entity::{conversation_heads, message_changes, messages};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};

use super::conversations::NAMED;
use super::{Store, StoreError};
use crate::domain::ConversationId;

/// The newest message that was posted to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    /// Its id.
    pub id: i64,
    /// Whether it appeared when it was posted, and has not been removed.
    pub on_time: bool,
    /// Whether something older appeared behind it.
    pub followed: bool,
}

impl Tip {
    /// Whether nothing stands behind a place.
    pub(super) const fn is_reached_by(&self, place: i64) -> bool {
        !self.followed && self.id <= place
    }
}

/// The newest messages of these conversations.
fn newest(conversations: &[ConversationId]) -> SelectStatement {
    let head = |column| (conversation_heads::Entity, column);
    let message = |column| Expr::col((messages::Entity, column));
    Query::select()
        .column((messages::Entity, messages::Column::ConversationId))
        .from(conversation_heads::Entity)
        .inner_join(
            messages::Entity,
            message(messages::Column::ConversationId)
                .equals(head(conversation_heads::Column::ConversationId))
                .and(
                    message(messages::Column::Seq)
                        .equals(head(conversation_heads::Column::LastSeq)),
                ),
        )
        .and_where(
            Expr::col(head(conversation_heads::Column::ConversationId))
                .is_in(conversations.iter().map(|id| id.get())),
        )
        .to_owned()
}

impl Store {
    /// The newest message of each of these conversations in which something was posted.
    pub(super) async fn tips(
        &self,
        conversations: &[ConversationId],
    ) -> Result<HashMap<ConversationId, Tip>, StoreError> {
        let mut tips = HashMap::new();
        for some in conversations.chunks(NAMED) {
            let followed = newest(some)
                .distinct()
                .inner_join(
                    message_changes::Entity,
                    Expr::col((message_changes::Entity, message_changes::Column::ConversationId))
                        .equals((messages::Entity, messages::Column::ConversationId))
                        .and(
                            Expr::col((message_changes::Entity, message_changes::Column::Shown))
                                .gt(Expr::col((messages::Entity, messages::Column::Id))),
                        ),
                )
                .to_owned();
            let mut late = HashSet::new();
            for row in self.reads().query_all(&followed).await? {
                late.insert(row.try_get_by_index::<i64>(0)?);
            }
            let newest = newest(some)
                .column((messages::Entity, messages::Column::Id))
                .column((messages::Entity, messages::Column::Shown))
                .column((messages::Entity, messages::Column::DeletedAt))
                .to_owned();
            for row in self.reads().query_all(&newest).await? {
                let (conversation, id): (i64, i64) =
                    (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                let (shown, deleted): (Option<i64>, Option<i64>) =
                    (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
                let on_time = shown == Some(id) && deleted.is_none();
                let tip = Tip { id, on_time, followed: late.contains(&conversation) };
                tips.insert(ConversationId::new(conversation), tip);
            }
        }
        Ok(tips)
    }
}
