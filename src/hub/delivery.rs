//! An event on its way to its listeners, rendered at most once per rendition.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::{Dialect, Event, UserId};

/// One of the few forms a dialect gives an event: the dialect, and a number of its own.
pub type Rendition = (Dialect, u8);

type Rendered = Arc<dyn Any + Send + Sync>;

/// An event with its renderings.
pub struct Delivery {
    event: Event,
    pair: Option<(UserId, UserId)>,
    in_room: bool,
    rendered: Mutex<Vec<(Rendition, Rendered)>>,
}

impl Delivery {
    /// An event that nobody has rendered yet.
    pub fn new(event: Event) -> Self {
        Self { event, pair: None, in_room: false, rendered: Mutex::new(Vec::new()) }
    }

    /// The same, in the direct conversation of these two.
    #[must_use]
    pub fn between(mut self, pair: Option<(UserId, UserId)>) -> Self {
        self.pair = pair;
        self
    }

    /// The same; whether in a room.
    #[must_use]
    pub const fn in_room(mut self, in_room: bool) -> Self {
        self.in_room = in_room;
        self
    }

    /// The two ends, if it happened in a direct conversation.
    pub const fn pair(&self) -> Option<(UserId, UserId)> {
        self.pair
    }

    /// Whether it happened in a room, as far as it was told as mail.
    pub const fn is_in_room(&self) -> bool {
        self.in_room
    }

    /// What happened.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The event in this rendition, made the first time it is asked for.
    ///
    /// A rendition always stands for one type; asked for another it is made anew.
    pub fn render<T: Send + Sync + 'static>(
        &self,
        rendition: Rendition,
        make: impl FnOnce(&Event) -> T,
    ) -> Arc<T> {
        let mut rendered = self.rendered.lock();
        if let Some((_, found)) = rendered.iter().find(|(key, _)| *key == rendition)
            && let Ok(found) = Arc::clone(found).downcast::<T>()
        {
            return found;
        }
        metrics::counter!("klatsch_renderings_total", "dialect" => rendition.0.as_str())
            .increment(1);
        let fresh = Arc::new(make(&self.event));
        rendered.push((rendition, Arc::clone(&fresh) as Rendered));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LoginId;

    #[test]
    fn a_rendition_is_made_once() {
        let delivery =
            Delivery::new(Event::LoginEnded { login: LoginId::new(1), deactivated: false });
        let mut made = 0;
        for _ in 0..3 {
            let text = delivery.render((Dialect::Neo, 0), |_| {
                made += 1;
                String::from("ended")
            });
            assert_eq!(*text, "ended");
        }
        assert_eq!(made, 1);
    }
}
