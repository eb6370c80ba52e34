//! One macro: an enumeration whose variants each have a code for scripts and a meaning for people,
//! declared once, so that code, text and documentation cannot drift apart.

/// Declares the enumeration: variant, code, meaning; the meaning is also the documentation.
macro_rules! codes {
    (
        $(#[doc = $about:literal])* enum $name:ident;
        $($variant:ident $text:literal $meaning:literal;)*
    ) => {
        $(#[doc = $about])*
        ///
        /// | code | meaning |
        /// | --- | --- |
        $(#[doc = concat!("| `", $text, "` | ", $meaning, " |")])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!($meaning, ".")] $variant,)*
        }

        impl $name {
            /// Every one, in the order of declaration.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The code as scripts see it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// What it means, for a person.
            pub const fn meaning(self) -> &'static str {
                match self { $($name::$variant => $meaning,)* }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use codes;
