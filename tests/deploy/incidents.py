"""What happens, for a real Alertmanager: alerts that fire, and alerts that follow from them and are to be silent."""


def alert(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "product": "push-exporter", "job": "push-exporter", **labels}


def channel(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return alert(name, severity, **{"provider": "easemob", "app": "chat", "platform": "android", "channel": "huawei", **labels})


DOWN = alert("PushExporterDown", "critical", instance="a")
OF_SHOP = {"provider": "jpush", "app": "shop"}
# What happens, the alerts that fire and are told, those that follow and are silent.
INCIDENTS = [
    (
        "an exporter is down, and others go on",
        [DOWN, alert("PushConfigReloadFailed", instance="b"), alert("PushVolumeCollapsed", **OF_SHOP)],
        [],
    ),
    ("the only exporter is down", [DOWN], [{"alertname": "PushExporterAbsent", "severity": "critical", "product": "push-exporter"}]),
    (
        "a ledger cannot be written",
        [
            alert("PushLedgerFailing", "critical", instance="a"),
            alert("PushReportFailing", instance="b", report="received_detail", provider="jpush", app="game"),
            {**alert("PushReportFailing", instance="a", report="received_detail", provider="jpush", app="game"), "job": "other"},
            alert("PushReportRefused", "critical", instance="a", report="messages", reason="auth", provider="jpush", app="old"),
            alert("PushVolumeDoubled", **OF_SHOP),
        ],
        [
            alert("PushReportFailing", instance="a", report="received_detail", **OF_SHOP),
            alert("PushReportFailing", instance="a", report="users", **OF_SHOP),
            alert("PushTokenNotRenewed", instance="a", provider="easemob", app="talk"),
            alert("PushBacklogLate", instance="a", report="received_detail", **OF_SHOP),
            alert("PushMessageFeedDead", **OF_SHOP),
            alert("PushDataLate", report="offline_push", provider="easemob", app="talk"),
        ],
    ),
    (
        "delivery reports are refused, others are too",
        [
            alert("PushReportRefused", "critical", instance="a", report="messages_detail", reason="auth", **OF_SHOP),
            alert("PushMessageFeedDead", **OF_SHOP),
            alert("PushReportRefused", instance="a", report="users", reason="forbidden", provider="jpush", app="game"),
            alert("PushDataLate", provider="jpush", app="game"),
            alert("PushReportFailing", instance="a", report="message_push_overview", provider="feishu", app="bot"),
            alert("PushVolumeDoubled", **OF_SHOP),
            alert("PushVolumeDoubled", provider="feishu", app="bot"),
        ],
        [
            alert("PushDataLate", **OF_SHOP),
            alert("PushVolumeCollapsed", **OF_SHOP),
            alert("PushTokenNotRenewed", instance="a", provider="feishu", app="bot"),
        ],
    ),
    (
        "polls are late",
        [
            alert("PushBacklogLate", instance="a", report="messages_detail", **OF_SHOP),
            alert("PushBacklogLate", instance="a", report="users", provider="jpush", app="game"),
            alert("PushDataLate", provider="jpush", app="game"),
        ],
        [alert("PushDataLate", **OF_SHOP), alert("PushVolumeCollapsed", **OF_SHOP)],
    ),
    (
        "ids do not come",
        [alert("PushMessageFeedDead", **OF_SHOP), alert("PushVolumeCollapsed", provider="jpush", app="game")],
        [alert("PushVolumeCollapsed", **OF_SHOP)],
    ),
    (
        "a vendor is bad",
        [
            alert("PushVendorBadThroughAllProviders", "critical", platform="android", channel="huawei", fault="vendor"),
            channel("PushClicksVanished"),
            channel("PushChannelFailing", "critical", channel="xiaomi"),
            channel("PushChannelSuccessFell", channel="xiaomi", app="game"),
        ],
        [
            channel("PushChannelFailing", "critical"),
            channel("PushDeliveryRatioFell", **OF_SHOP),
            channel("PushChannelSlow", **OF_SHOP),
            channel("PushChannelBadThroughOneProvider", app="", fault="provider"),
            channel("PushChannelSuccessFell", channel="xiaomi"),
        ],
    ),
    ("a channel fails for ten apps", [channel("PushChannelFailing", "critical", app=f"app{number}") for number in range(10)], []),
]
