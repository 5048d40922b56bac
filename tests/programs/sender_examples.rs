//! The examples for senders in docs/messages.md, run as they stand there; the README shows the first one too.

use crate::support::{Page, Program, eventually, tool};

const README: &str = include_str!("../../README.md");
const MESSAGES: &str = include_str!("../../docs/messages.md");

/// The block that begins with a comment line of this text, for an exporter at `address`.
fn example(first_line: &str, address: &str) -> String {
    block(MESSAGES, first_line).replace("push-exporter:10110", address)
}

fn block<'a>(document: &'a str, first_line: &str) -> &'a str {
    let mut blocks = document.split("\n```").skip(1).step_by(2);
    let block =
        blocks.find(|block| block.contains(&format!("\n{first_line}\n"))).expect("the example is in the document");
    block.split_once('\n').unwrap().1
}

fn registered(page: &Page) -> Option<f64> {
    page.get(r#"push_messages_registered_total{provider="jpush",app="shop",source="api"}"#)
}

#[test]
fn senders_register_their_messages() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("push-exporter.yml");
    let text = "message_api: {token: t0ken}\njpush:\n  - {app: shop, base_url: 'http://127.0.0.1:1', app_key: k, master_secret: s}\n";
    std::fs::write(&config, text).unwrap();
    let program = Program::start(&["--config.file", config.to_str().unwrap()]);
    let address = program.address.to_string();

    let curl = example("# curl", &address);
    let (push, rest) = curl.split_once(" |\n").unwrap();
    assert!(push.contains("curl -fsS https://api.jpush.cn/v3/push"), "{push}");
    let answer = r#"{"sendno":"0","msg_id":"38280845540235675"}"#;
    let output = tool("bash", &["-euc", &format!("TOKEN=t0ken\nprintf '%s' '{answer}' | {rest}")], b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), r#"{"received":1,"new":1,"too_old":0}"#, "{output:?}");

    let python = "import json, urllib.request\ntoken = 't0ken'\n\
        class push:\n    payload = {'msg_id': '38280845540235676'}\n    send = classmethod(lambda push: push)\n";
    let output = tool("python3", &["-c", &format!("{python}{}", example("# Python", &address))], b"");
    assert!(output.status.success(), "{output:?}");
    eventually("both on the page", 10, || (registered(&program.try_scrape()?)? == 2.0).then_some(()));

    let node = example("// Node", &address);
    let (push, rest) = node.split_once("const registered").unwrap();
    assert!(push.contains("const msgId = "), "{push}");
    let script = format!("const token = 't0ken', msgId = '38280845540235677';\nconst registered{rest}");
    let output = tool("node", &["--input-type=module", "--eval", &script], b"");
    assert!(output.status.success(), "{output:?}");
    eventually("all three on the page", 10, || (registered(&program.try_scrape()?)? == 3.0).then_some(()));
    for language in ["// Java", "// Go", "// PHP", "// C#"] {
        assert!(example(language, &address).contains(&format!("http://{address}/api/v1/messages")));
    }
}

#[test]
fn the_readme_shows_the_first_one() {
    assert_eq!(block(README, "# curl"), block(MESSAGES, "# curl"));
}
