//! Who may do what: pure functions from facts to a permit or a refusal, and the only place that decides.
//!
//! A permit has private fields and no public constructor, and the store's writing methods
//! take one by value: no path leads to a row except through here.

#[macro_use]
mod permit;

mod attendance;
mod calling;
mod circles;
mod files;
mod gathering;
mod governing;
mod posting;
mod standing;
mod tariff;

pub use attendance::{MayEnter, MayJoin, MayRead, may_enter, may_join, may_read};
pub use calling::{
    MayCall, MayMeet, MaySignal, PARTIES, may_call, may_call_in, may_meet_for, may_meet_in,
    may_signal,
};
pub use circles::{
    CircleStanding, MayAdminister, MayAnswerInvite, MayEquip, MayInviteToCircle, MayKickFromCircle,
    MayQuitCircle, MayRenameCircle, MayRenameDevice, MaySeeCircle, may_administer,
    may_answer_invite, may_buy_device, may_equip, may_invite_to_circle, may_kick_from_circle,
    may_quit_circle, may_rename_circle, may_rename_device, may_see_account, may_see_circle,
};
pub use files::{
    CircleSeat, MayDiscard, MayFetch, MayFill, MayShelve, Shelf, may_discard, may_fetch, may_fill,
    may_shelve,
};
pub use gathering::{MayGather, may_gather, require_room_for_one};
pub use governing::{
    Beginning, Invitee, MayInvite, MayKeepRooms, MayKick, MayPromote, MayQuit, MayRename,
    MaySetDevice, MayStart, may_invite, may_keep_rooms, may_kick, may_promote, may_quit,
    may_rename, may_set_device, may_start,
};
pub use posting::{
    MayEdit, MayPost, MayRemove, MayType, keeps_order, may_edit, may_post, may_remove, may_type,
    require_in_time,
};
pub use standing::{Seat, Standing};
pub use tariff::{Payer, price_for, too_poor};
