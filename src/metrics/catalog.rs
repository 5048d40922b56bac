//! Catalog of the metrics of the series table: name, type and HELP. The order here is the order of the exposition. The
//! metrics of the exporter itself are in [`super::self_metrics`].

/// Counter or gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// How a value is kept and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    /// A whole number, exact to 2^63−1.
    Whole,
    /// Seconds, kept as whole milliseconds.
    Seconds,
}

macro_rules! families {
    ($($variant:ident, $name:literal, $kind:ident, $format:ident, $help:literal;)*) => {
        /// A metric family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Family {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Family {
            /// Every family, in the order of the page.
            pub const ALL: &'static [Family] = &[$(Family::$variant,)*];

            /// The name of the metric.
            pub fn name(self) -> &'static str {
                match self { $(Family::$variant => $name,)* }
            }

            /// Counter or gauge.
            pub fn kind(self) -> FamilyKind {
                match self { $(Family::$variant => FamilyKind::$kind,)* }
            }

            /// How its values are written.
            pub fn format(self) -> ValueFormat {
                match self { $(Family::$variant => ValueFormat::$format,)* }
            }

            /// Its HELP.
            pub fn help(self) -> &'static str {
                match self { $(Family::$variant => $help,)* }
            }
        }
    };
}

families! {
    Targeted, "push_messages_targeted_total", Counter, Whole,
        "Devices targeted after the provider's filtering (JPush messages/detail target). Polled by message and cached.";
    Sent, "push_messages_sent_total", Counter, Whole,
        "Deliveries accepted by the channel (JPush received/detail *_sent; JPush messages/detail sent, where it means that the task to send was created; Easemob successCount; Feishu send_msg_count, where a message to a chat of five counts five). Polled and cached; Feishu grows once a day, two days late: use increase(...[1d]).";
    PushedOnline, "push_messages_pushed_online_total", Counter, Whole,
        "Deliveries pushed to devices that were online (JPush online_push of messages and group/messages/detail). Polled by message and cached.";
    Failed, "push_messages_failed_total", Counter, Whole,
        "Deliveries refused by the channel (Easemob failCount). Polled and cached.";
    Received, "push_messages_received_total", Counter, Whole,
        "Deliveries that arrived on the device (JPush received/detail *_received, messages/detail received; Easemob arriveCount, which only some vendors report). Polled and cached.";
    Displayed, "push_messages_displayed_total", Counter, Whole,
        "Deliveries that were shown (JPush messages/detail display). Polled by message and cached.";
    Clicked, "push_messages_clicked_total", Counter, Whole,
        "Deliveries that were clicked (JPush messages/detail click). Polled by message and cached.";
    ReadWithin1h, "push_messages_read_within_1h_total", Counter, Whole,
        "Deliveries read within an hour of sending (Feishu read_in_1h_count). Polled and cached; grows once a day, two days late: use increase(...[1d]).";
    ReadWithin12h, "push_messages_read_within_12h_total", Counter, Whole,
        "Deliveries read within twelve hours of sending (Feishu read_in_12h_count). Polled and cached; grows once a day, two days late: use increase(...[1d]).";
    SentAt10m, "push_messages_sent_at_10m_total", Counter, Whole,
        "What each message had sent ten minutes after it was sent itself (JPush sent, as read once at an age of 10 to 20 minutes). Polled and cached; with push_messages_received_at_10m_total it tells whether a channel is slow now.";
    ReceivedAt10m, "push_messages_received_at_10m_total", Counter, Whole,
        "What of each message had arrived ten minutes after it was sent (JPush received, as read once at an age of 10 to 20 minutes). Polled and cached; as a ratio to push_messages_sent_at_10m_total.";
    Restated, "push_messages_restated_total", Counter, Whole,
        "How far the provider's numbers have fallen below what was counted; counters do not follow them down. Polled and cached.";
    WindowSent, "push_window_messages_sent", Gauge, Whole,
        "Sent in the newest closed window (Easemob successCount of a day; Feishu send_msg_count). Polled and cached; push_window_end_timestamp_seconds says which window.";
    WindowFailed, "push_window_messages_failed", Gauge, Whole,
        "Refused in the newest closed window (Easemob failCount of a day). Polled and cached; push_window_end_timestamp_seconds says which window.";
    WindowReceived, "push_window_messages_received", Gauge, Whole,
        "Arrived in the newest closed window (Easemob arriveCount of a day). Polled and cached; push_window_end_timestamp_seconds says which window.";
    WindowReadWithin1h, "push_window_messages_read_within_1h", Gauge, Whole,
        "Read within an hour, of the newest closed window (Feishu read_in_1h_count). Polled and cached, two days late; may exceed sent.";
    WindowReadWithin12h, "push_window_messages_read_within_12h", Gauge, Whole,
        "Read within twelve hours, of the newest closed window (Feishu read_in_12h_count). Polled and cached, two days late; may exceed sent.";
    WindowUsersReached, "push_window_users_reached", Gauge, Whole,
        "Distinct users reached in the newest closed window (Feishu send_user_count). Polled and cached, two days late; windows cannot be added.";
    DepartmentWindowSent, "push_department_window_messages_sent", Gauge, Whole,
        "Sent to a department and those below it in the newest closed window (Feishu send_msg_count). Polled and cached, two days late; departments nest.";
    DepartmentWindowReadWithin1h, "push_department_window_messages_read_within_1h", Gauge, Whole,
        "Read within an hour by a department and those below it, of the newest closed window (Feishu read_in_1h_count). Polled and cached, two days late; departments nest.";
    DepartmentWindowReadWithin12h, "push_department_window_messages_read_within_12h", Gauge, Whole,
        "Read within twelve hours by a department and those below it, of the newest closed window (Feishu read_in_12h_count). Polled and cached, two days late; departments nest.";
    DepartmentWindowUsersReached, "push_department_window_users_reached", Gauge, Whole,
        "Distinct users reached of a department and those below it in the newest closed window (Feishu send_user_count). Polled and cached, two days late; departments nest.";
    WindowEnd, "push_window_end_timestamp_seconds", Gauge, Seconds,
        "When the newest closed window of a unit ended: the window that the push_window gauges describe. Moves on when a window closes empty.";
    Users, "push_users", Gauge, Whole,
        "Users of the app in the newest closed window, by state: new, online or active (JPush users and group/users). Polled and cached; push_window_end_timestamp_seconds says which window, and windows cannot be added.";
    TestDevices, "push_test_devices", Gauge, Whole,
        "Test devices by what became of the newest messages on them, each device once a message: delivered, undelivered, foreign (of another app), not_targeted, error, or unknown where JPush does not say (JPush status/message status of the newest 20 messages of 24 hours). Polled and cached.";
    VendorQuota, "push_vendor_quota", Gauge, Whole,
        "Messages a day that a vendor channel takes from the app, by class (JPush push/quota total). Polled and cached.";
    VendorQuotaUsed, "push_vendor_quota_used", Gauge, Whole,
        "Messages of today that count against push_vendor_quota (JPush push/quota used). Polled and cached.";
    NewestTargeted, "push_newest_message_targeted", Gauge, Whole,
        "Devices targeted by one of the newest messages (JPush target), with newest_messages. Polled and cached.";
    NewestSent, "push_newest_message_sent", Gauge, Whole,
        "Sent of one of the newest messages (JPush sent), with newest_messages. Polled and cached.";
    NewestReceived, "push_newest_message_received", Gauge, Whole,
        "Arrived of one of the newest messages (JPush received), with newest_messages. Polled and cached.";
    NewestDisplayed, "push_newest_message_displayed", Gauge, Whole,
        "Shown of one of the newest messages (JPush display), with newest_messages. Polled and cached.";
    NewestClicked, "push_newest_message_clicked", Gauge, Whole,
        "Clicked of one of the newest messages (JPush click), with newest_messages. Polled and cached.";
    MessagesRegistered, "push_messages_registered_total", Counter, Whole,
        "Message ids that were new when registered, by where they came from.";
    NewestMessage, "push_newest_message_timestamp_seconds", Gauge, Seconds,
        "When the newest registered message was sent: in the past, its age tells whether the feed of ids is alive.";
    TrackedMessages, "push_tracked_messages", Gauge, Whole,
        "Messages that are polled: waiting for a first number, or live.";
    BadLines, "push_message_file_bad_lines_total", Counter, Whole,
        "Lines of followed files that were no message ids; the log names them by their numbers.";
    RejectedMessages, "push_rejected_messages_total", Counter, Whole,
        "Message ids that the provider refused: they are set aside, and asked for once a day.";
    Up, "push_up", Gauge, Whole,
        "1 if the last poll of the report succeeded, 0 if not, also while a part of it fails; absent before the first.";
    PollFailing, "push_poll_failing", Gauge, Whole,
        "1 while the report is failing, with the reason; scope=\"part\" while only a part of it is (windows, a department, messages).";
    PollErrors, "push_poll_errors_total", Counter, Whole,
        "Polls that failed after their retries, by reason.";
    LastSuccess, "push_poll_last_success_timestamp_seconds", Gauge, Seconds,
        "When a poll of the report last succeeded.";
    PollDue, "push_poll_due_timestamp_seconds", Gauge, Seconds,
        "When the oldest outstanding poll of the report was or will be due; in the past, its age is the backlog.";
    LastChange, "push_data_last_change_timestamp_seconds", Gauge, Seconds,
        "When a poll of the report last brought a new number: the true age of the counters.";
    PollDuration, "push_poll_duration_seconds", Gauge, Seconds,
        "How long the last poll of the report took, without waiting for quota.";
    ApiRequests, "push_api_requests_total", Counter, Whole,
        "Requests to the provider by HTTP status code; none when there was no answer.";
    ApiQuotaLimit, "push_api_quota_limit", Gauge, Whole,
        "Requests that the provider allows in a window, from its headers.";
    ApiQuotaRemaining, "push_api_quota_remaining", Gauge, Whole,
        "Requests that the provider says are left in its window, from its headers; others may use the account too.";
    TokenExpiry, "push_token_expiry_timestamp_seconds", Gauge, Seconds,
        "When the access token in use expires.";
    ClockSkew, "push_clock_skew_seconds", Gauge, Seconds,
        "Seconds by which this machine's clock is ahead of the provider's, by the Date header of its last answers (median of three).";
    UnknownFields, "push_unknown_fields_total", Counter, Whole,
        "Fields, channels or values in the provider's answers that the exporter did not know: one for each new name in an app.";
    UnknownFieldsFull, "push_unknown_fields_full", Gauge, Whole,
        "1 if the provider's answers have had so many unknown names in an app that further ones are neither counted nor noted; absent if not. Documented fields are counted in any case.";
}

impl Family {
    /// The reverse of [`Family::name`].
    pub fn from_name(name: &str) -> Option<Family> {
        Family::ALL.iter().copied().find(|family| family.name() == name)
    }
}
