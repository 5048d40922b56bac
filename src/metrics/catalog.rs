//! Catalog of the metrics of the series table: name, type and HELP. The order here is the order of the exposition. The
//! metrics of the exporter itself are in [`super::self_metrics`].

/// Counter or gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
}

/// Stored and written form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    /// A whole number, exact to 2^63−1.
    Whole,
    /// Seconds, stored as whole milliseconds.
    Seconds,
    /// A ratio, stored as whole millionths.
    Ratio,
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

            /// Returns the name of the metric.
            pub fn name(self) -> &'static str {
                match self { $(Family::$variant => $name,)* }
            }

            /// Returns whether it is a counter or a gauge.
            pub fn kind(self) -> FamilyKind {
                match self { $(Family::$variant => FamilyKind::$kind,)* }
            }

            /// Returns true if its series belong to apps.
            pub fn is_of_apps(self) -> bool {
                self != Family::UnknownFields
            }

            /// Returns the form of its values.
            pub fn format(self) -> ValueFormat {
                match self { $(Family::$variant => ValueFormat::$format,)* }
            }

            /// Returns the HELP text with `{providers}` where the fields of providers are named: see
            /// [`HelpTexts`](crate::metrics::help::HelpTexts).
            pub fn help(self) -> &'static str {
                match self { $(Family::$variant => $help,)* }
            }
        }
    };
}

families! {
    Targeted, "push_messages_targeted_total", Counter, Whole,
        "Devices targeted after the provider's filtering{providers}. Polled by message and cached.";
    Sent, "push_messages_sent_total", Counter, Whole,
        "Deliveries accepted by the channel{providers}. Polled and cached; Feishu grows once a day, two days late, and Getui push_date once a day: use increase(...[1d]).";
    PushedOnline, "push_messages_pushed_online_total", Counter, Whole,
        "Deliveries pushed to devices that were online{providers}. Polled by message and cached.";
    Failed, "push_messages_failed_total", Counter, Whole,
        "Deliveries refused by the channel{providers}. Polled and cached.";
    Received, "push_messages_received_total", Counter, Whole,
        "Deliveries that arrived on the device{providers}. Polled and cached.";
    Displayed, "push_messages_displayed_total", Counter, Whole,
        "Deliveries that were shown{providers}. Polled by message and cached.";
    Clicked, "push_messages_clicked_total", Counter, Whole,
        "Deliveries that were clicked{providers}. Polled by message and cached.";
    ReadWithin1h, "push_messages_read_within_1h_total", Counter, Whole,
        "Deliveries read within an hour of sending{providers}. Polled and cached; grows once a day, two days late: use increase(...[1d]).";
    ReadWithin12h, "push_messages_read_within_12h_total", Counter, Whole,
        "Deliveries read within twelve hours of sending{providers}. Polled and cached; grows once a day, two days late: use increase(...[1d]).";
    SentAt10m, "push_messages_sent_at_10m_total", Counter, Whole,
        "Deliveries that the channel had accepted ten minutes after the message was sent{providers}. Polled and cached; with push_messages_received_at_10m_total it shows whether a channel is slow now.";
    ReceivedAt10m, "push_messages_received_at_10m_total", Counter, Whole,
        "Deliveries that had arrived on the device ten minutes after the message was sent{providers}. Polled and cached; use its ratio to push_messages_sent_at_10m_total.";
    Restated, "push_messages_restated_total", Counter, Whole,
        "Amount by which the provider's numbers have fallen below the counted ones; counters do not decrease with them. Polled and cached.";
    Unaccounted, "push_messages_unaccounted_total", Counter, Whole,
        "Amount by which the totals of messages that retired differ from the sum of their parts, in the provider's last answer about them{providers}. Zero means that nothing is missing.";
    WindowSent, "push_window_messages_sent", Gauge, Whole,
        "Sent in the newest closed window{providers}. Polled and cached; push_window_end_timestamp_seconds says which window.";
    WindowFailed, "push_window_messages_failed", Gauge, Whole,
        "Refused in the newest closed window{providers}. Polled and cached; push_window_end_timestamp_seconds says which window.";
    WindowReceived, "push_window_messages_received", Gauge, Whole,
        "Arrived in the newest closed window{providers}. Polled and cached; push_window_end_timestamp_seconds says which window.";
    WindowReadWithin1h, "push_window_messages_read_within_1h", Gauge, Whole,
        "Deliveries of the newest closed window that were read within an hour{providers}. Polled and cached, two days late; may exceed sent.";
    WindowReadWithin12h, "push_window_messages_read_within_12h", Gauge, Whole,
        "Deliveries of the newest closed window that were read within twelve hours{providers}. Polled and cached, two days late; may exceed sent.";
    WindowUsersReached, "push_window_users_reached", Gauge, Whole,
        "Distinct users reached in the newest closed window{providers}. Polled and cached, two days late; windows cannot be added.";
    DepartmentWindowSent, "push_department_window_messages_sent", Gauge, Whole,
        "Sent to a department and those below it in the newest closed window{providers}. Polled and cached, two days late; departments nest.";
    DepartmentWindowReadWithin1h, "push_department_window_messages_read_within_1h", Gauge, Whole,
        "Deliveries of the newest closed window that a department and those below it read within an hour{providers}. Polled and cached, two days late; departments nest.";
    DepartmentWindowReadWithin12h, "push_department_window_messages_read_within_12h", Gauge, Whole,
        "Deliveries of the newest closed window that a department and those below it read within twelve hours{providers}. Polled and cached, two days late; departments nest.";
    DepartmentWindowUsersReached, "push_department_window_users_reached", Gauge, Whole,
        "Distinct users reached of a department and those below it in the newest closed window{providers}. Polled and cached, two days late; departments nest.";
    WindowEnd, "push_window_end_timestamp_seconds", Gauge, Seconds,
        "End of the newest closed window of a unit: the window that the push_window gauges describe. It advances even if a window closes empty.";
    WindowUnaccounted, "push_window_unaccounted_messages", Gauge, Whole,
        "The provider's own total of the newest settled window, less what the exporter has read of its days{providers}. Zero means that nothing is missing.";
    Users, "push_users", Gauge, Whole,
        "Users of the app in the newest closed window, by state: new, online or active{providers}. Polled and cached; push_window_end_timestamp_seconds says which window, and windows cannot be added.";
    TestDevices, "push_test_devices", Gauge, Whole,
        "Test devices by status of the newest messages on them, each device once per message: delivered, undelivered, foreign (of another app), not_targeted, error, or unknown if JPush does not report it{providers}. Polled and cached.";
    VendorQuota, "push_vendor_quota", Gauge, Whole,
        "Messages per day that a vendor channel accepts from the app, by class{providers}. Polled and cached.";
    VendorQuotaUsed, "push_vendor_quota_used", Gauge, Whole,
        "Messages of today that count against push_vendor_quota{providers}. Polled and cached.";
    NewestTargeted, "push_newest_message_targeted", Gauge, Whole,
        "Devices targeted by one of the newest messages{providers}, if newest_messages is set. Polled and cached.";
    NewestSent, "push_newest_message_sent", Gauge, Whole,
        "Deliveries sent for one of the newest messages{providers}, if newest_messages is set. Polled and cached.";
    NewestReceived, "push_newest_message_received", Gauge, Whole,
        "Deliveries of one of the newest messages that arrived{providers}, if newest_messages is set. Polled and cached.";
    NewestDisplayed, "push_newest_message_displayed", Gauge, Whole,
        "Deliveries of one of the newest messages that were shown{providers}, if newest_messages is set. Polled and cached.";
    NewestClicked, "push_newest_message_clicked", Gauge, Whole,
        "Deliveries of one of the newest messages that were clicked{providers}, if newest_messages is set. Polled and cached.";
    MessagesRegistered, "push_messages_registered_total", Counter, Whole,
        "Message ids that were new when registered, by source.";
    NewestMessage, "push_newest_message_timestamp_seconds", Gauge, Seconds,
        "Send time of the newest registered message. Its age shows whether the feed of ids is alive.";
    TrackedMessages, "push_tracked_messages", Gauge, Whole,
        "Messages that are polled: waiting for a first number, or live.";
    BadLines, "push_message_file_bad_lines_total", Counter, Whole,
        "Lines of followed files that were not message ids; the log contains their line numbers.";
    RejectedMessages, "push_rejected_messages_total", Counter, Whole,
        "Message ids that the provider rejected: they are set aside, and polled once a day.";
    Objective, "push_objective_ratio", Gauge, Ratio,
        "Share of its pushes that the channels of the app should accept, as configured (objective); absent if it is not.";
    Up, "push_up", Gauge, Whole,
        "1 if the last poll of the report succeeded, 0 if not, and 0 while a part of it fails; absent before the first poll.";
    PollFailing, "push_poll_failing", Gauge, Whole,
        "1 while the report is failing, with the reason; scope=\"part\" while only a part of it is failing (windows, a department, messages).";
    PollErrors, "push_poll_errors_total", Counter, Whole,
        "Polls that failed after their retries, by reason.";
    LastSuccess, "push_poll_last_success_timestamp_seconds", Gauge, Seconds,
        "Time of the last successful poll of the report.";
    PollDue, "push_poll_due_timestamp_seconds", Gauge, Seconds,
        "Due time of the oldest outstanding poll. If it is in the past, the difference from now is the backlog.";
    LastChange, "push_data_last_change_timestamp_seconds", Gauge, Seconds,
        "Time of the last poll of the report that returned a new number: its age is the true age of the counters.";
    PollDuration, "push_poll_duration_seconds", Gauge, Seconds,
        "Duration of the last poll of the report, without waiting for quota.";
    ApiRequests, "push_api_requests_total", Counter, Whole,
        "Requests to the provider by HTTP status code; the code is none if there was no answer.";
    ApiQuotaLimit, "push_api_quota_limit", Gauge, Whole,
        "Requests that the provider allows in a window, from its headers.";
    ApiQuotaRemaining, "push_api_quota_remaining", Gauge, Whole,
        "Requests that are left in the provider's window, from its headers; others may use the account too.";
    TokenExpiry, "push_token_expiry_timestamp_seconds", Gauge, Seconds,
        "Expiry time of the access token in use.";
    ClockSkew, "push_clock_skew_seconds", Gauge, Seconds,
        "Seconds by which this machine's clock is ahead of the provider's, by the Date header of its last answers (median of three).";
    UnknownFields, "push_unknown_fields_total", Counter, Whole,
        "Fields, channels or values in the provider's answers that are unknown to the exporter: one for each new name of an app.";
    UnknownFieldsFull, "push_unknown_fields_full", Gauge, Whole,
        "1 if an app has reached the limit of unknown names in the provider's answers, so that further ones are neither counted nor remembered; absent otherwise. Documented fields are always counted.";
}

impl Family {
    /// Returns the family with this name: the reverse of [`Family::name`].
    pub fn from_name(name: &str) -> Option<Family> {
        Family::ALL.iter().copied().find(|family| family.name() == name)
    }
}
