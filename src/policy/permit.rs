//! How a permit is written down: fields nobody else can fill in, and a reader for each.

macro_rules! permit {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name { $($field: $type),* }

        impl $name {
            $($(#[$about])*
            pub const fn $field(&self) -> $type {
                self.$field
            })*
        }
    };
}
