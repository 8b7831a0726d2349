//! What makes `ServerConfig` and `ClientConfig`: each setting is said once, with its text form, default and setter.

/// Makes a struct of settings and its builder's setters. An entry is
///
/// ```text
/// /// What the field's and the setter's documentation say.
/// #[serde(with = "how it is written in text, if not as its type is")]
/// name: Type = default, |argument: OfTheSetter| value;
/// ```
///
/// and without the last part it has no setter. The settings that a server and a client have in common follow those that
/// are given; of these only `outbox_bounds` and `policy`, whose defaults differ, have to be given. The builder has the struct in its field
/// `config`. The caller depends on `serde`, and on this crate under its own name.
///
/// The struct is not (de)serialized by a derive of its own: `Text`, its mirror, is, and what it reads goes through
/// [`Keyed`](crate::settings::Keyed), which puts the setting's name into every error.
#[doc(hidden)]
#[macro_export]
macro_rules! config {
    (
        $(#[$about:meta])*
        pub struct $Config:ident, set by $Builder:ident;
        $($own:tt)*
    ) => {
        $crate::config! {
            @all [$(#[$about])*] $Config $Builder
            $($own)*

            /// How long a peer may be silent before it is pinged; `None`, in text `"off"`, never pings, and never calls a
            /// peer dead. Default: 25 s.
            #[serde(with = "hookup_core::settings::text::duration_or_off")]
            heartbeat: Option<::std::time::Duration> = Some(::std::time::Duration::from_secs(25)),
                |interval: ::std::time::Duration| Some(interval);

            /// After how many heartbeat intervals of silence a peer is dead; at least 2. Default: 2.
            dead_after: u32 = $crate::heartbeat::Heartbeat::MISSED, |intervals: u32| intervals;

            /// Which subprotocols are offered, or accepted, in order of preference. Default: all that are known:
            /// `hookup.v2`, `jsonProtocol` and `simpleJson`.
            subprotocols: Option<Vec<String>> = None,
                |names: impl IntoIterator<Item = impl Into<String>>| Some(names.into_iter().map(Into::into).collect());

            /// The wire format with a peer that names none. Default: `simpleJson`.
            default_subprotocol: String = "simpleJson".to_owned(), |name: impl Into<String>| name.into();

            /// How much may be sent to a peer and not be acked yet, in messages and bytes. Default: 256 and 1 MiB.
            #[serde(with = "hookup_core::settings::text::table")]
            window: $crate::Usage = $crate::Limits::default().window,
                |messages: usize, bytes: u64| $crate::Usage { messages, bytes };

            /// How much of a peer may wait for the handler, in messages and bytes; then its socket is read no further, not
            /// even acks and pings. Default: 512 and 4 MiB.
            #[serde(with = "hookup_core::settings::text::table")]
            inbox: $crate::Usage = $crate::Limits::default().inbox.into(),
                |messages: usize, bytes: usize| $crate::transport::Credit { frames: messages, bytes }.into();

            /// The longest message, in or out, in bytes; at most 1 GiB. Default: 1 MiB. A peer that sends a longer one is
            /// closed with 1009. What is sent must fit the [outbox](Self::outbox_bounds), too.
            #[serde(with = "hookup_core::settings::text::bytes")]
            max_message_bytes: usize = $crate::Limits::default().max_message_bytes, |bytes: usize| bytes;

            /// In how many fragments a message may come in. Default: 100,000. A peer that sends more is closed with 1009.
            max_fragments: usize = $crate::Limits::default().max_fragments, |fragments: usize| fragments;

            /// How many messages of a session may reach the handler in a time; as many may come at once after a pause. What
            /// is above waits, and when the [inbox](Self::inbox) is full the socket is read no further, so that nothing is
            /// lost. Default: no limit.
            #[serde(with = "hookup_core::settings::text::optional_table")]
            rate_limit: Option<$crate::Rate> = $crate::Limits::default().rate,
                |messages: u32, per: ::std::time::Duration| Some($crate::Rate { messages, per });

            /// How long the handler may take for one event; `None`, in text `"off"`, is as long as it likes. Then its future
            /// is dropped, a message is refused, and the handler is told
            /// [`Error::HandlerTimedOut`](crate::Error::HandlerTimedOut). Default: 5 minutes.
            #[serde(with = "hookup_core::settings::text::duration_or_off")]
            handler_timeout: Option<::std::time::Duration> = $crate::Limits::default().handler_timeout,
                |timeout: ::std::time::Duration| Some(timeout);

            /// How long a peer may take nothing of what is to be written to it; then its connection is cut. Default: 30 s.
            #[serde(with = "hookup_core::settings::text::duration")]
            stall_timeout: ::std::time::Duration = $crate::Limits::default().stall_timeout,
                |timeout: ::std::time::Duration| timeout;
        }
    };
    (
        @all [$($about:tt)*] $Config:ident $Builder:ident
        $(
            $(#[doc = $doc:literal])*
            $(#[serde($($serde:tt)*)])?
            $field:ident: $Type:ty = $default:expr $(, |$($arg:ident: $Arg:ty),+| $value:expr)?;
        )*
    ) => {
        $($about)*
        #[derive(Clone)]
        #[non_exhaustive]
        pub struct $Config {
            $($(#[doc = $doc])* pub $field: $Type,)*
        }

        impl Default for $Config {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $Config {
            /// Checks what a server and a client have in common.
            pub(crate) fn check_common(
                &self,
                formats: $crate::wire::Formats,
            ) -> Result<$crate::settings::Checked, $crate::ConfigError> {
                let common = $crate::settings::Settings {
                    formats,
                    subprotocols: self.subprotocols.clone(),
                    default_subprotocol: self.default_subprotocol.clone(),
                    heartbeat: self.heartbeat,
                    dead_after: self.dead_after,
                    limits: $crate::Limits {
                        outbox: self.outbox_bounds,
                        policy: self.policy,
                        window: self.window,
                        inbox: self.inbox.into(),
                        max_message_bytes: self.max_message_bytes,
                        max_fragments: self.max_fragments,
                        rate: self.rate_limit,
                        handler_timeout: self.handler_timeout,
                        stall_timeout: self.stall_timeout,
                    },
                };
                common.check()
            }
        }

        type Remote = $Config;

        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(remote = "Remote", default = "Remote::default", deny_unknown_fields, expecting = "a table of settings")]
        struct Text {
            $($(#[serde($($serde)*)])? $field: $Type,)*
        }

        impl serde::Serialize for $Config {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Text::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $Config {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Text::deserialize($crate::settings::Keyed(deserializer))
            }
        }

        /// # Settings
        ///
        /// Each sets the field of its name in the configuration.
        impl $Builder {
            $($crate::config! { @setter [$(#[doc = $doc])*] $field $(|$($arg: $Arg),+| $value)? })*

            /// Never pings, and never calls a peer dead.
            pub fn without_heartbeat(mut self) -> Self {
                self.config.heartbeat = None;
                self
            }

            /// Lets the handler take as long as it likes.
            pub fn without_handler_timeout(mut self) -> Self {
                self.config.handler_timeout = None;
                self
            }
        }
    };
    (@setter [$(#[$doc:meta])*] $field:ident) => {};
    (@setter [$(#[$doc:meta])*] $field:ident |$($arg:ident: $Arg:ty),+| $value:expr) => {
        $(#[$doc])*
        pub fn $field(mut self, $($arg: $Arg),+) -> Self {
            self.config.$field = $value;
            self
        }
    };
}
