//! Basic authentication against bcrypt hashes: one check at a time, on a thread that serves no requests, since each
//! is slow by design. Recent results are cached.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use http::HeaderValue;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

/// Maximum number of cached successful checks, and of cached failed ones.
const REMEMBERED: usize = 100;

/// Length of salt and hash in bcrypt's encoding.
const HASH_LENGTH: usize = 53;

/// A bcrypt hash of a password.
#[derive(Clone, Debug)]
pub struct Hash {
    text: SecretString,
    cost: u32,
}

/// Reason why a text is not a bcrypt hash. The text is never quoted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadHash {
    /// The text has another format; it may be the password itself.
    #[error("is not a bcrypt hash such as htpasswd -nBC 10 \"\" prints: $2a$, $2b$ or $2y$, a cost, and 53 characters")]
    NotBcrypt,
    /// The cost is outside the range of bcrypt.
    #[error("is not a bcrypt hash: the cost must be from 4 to 31")]
    Cost,
}

impl Hash {
    /// Parses a hash as made by `htpasswd -B` and other programs. Like the Go exporters, it ignores the letter of the
    /// version and anything after the hash.
    ///
    /// # Errors
    /// Returns an error if the text is not a bcrypt hash.
    pub fn parse(text: &str) -> Result<Hash, BadHash> {
        let behind = text.strip_prefix("$2").and_then(|rest| rest.split_once('$'));
        let (minor, rest) = behind.ok_or(BadHash::NotBcrypt)?;
        let (cost, hash) = rest.split_once('$').ok_or(BadHash::NotBcrypt)?;
        let is_version = minor.is_empty() || (minor.len() == 1 && minor.bytes().all(|b| b.is_ascii_lowercase()));
        if !is_version || cost.len() != 2 {
            return Err(BadHash::NotBcrypt);
        }
        let cost: u32 = cost.parse().map_err(|_| BadHash::NotBcrypt)?;
        if !(4..=31).contains(&cost) {
            return Err(BadHash::Cost);
        }
        let hash = hash.get(..HASH_LENGTH).ok_or(BadHash::NotBcrypt)?;
        let text = format!("$2b${cost:02}${hash}");
        text.parse::<HashParts>().map_err(|_| BadHash::NotBcrypt)?;
        Ok(Hash { text: text.into(), cost })
    }

    /// Returns a hash that takes as long to check as any hash of this cost, and that no known password matches.
    fn of_nobody(cost: u32) -> Hash {
        Hash { text: format!("$2b${cost:02}${}", ".".repeat(HASH_LENGTH)).into(), cost }
    }
}

/// Password hashes by user name.
#[derive(Clone, Debug, Default)]
pub struct UserTable(BTreeMap<Vec<u8>, Hash>);

impl UserTable {
    /// Adds a user.
    pub fn add(&mut self, name: &str, hash: Hash) {
        self.0.insert(name.as_bytes().to_vec(), hash);
    }

    /// Returns true if there are no users, so that no password is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the hash to check, and true if it belongs to the user. The check of an unknown user takes as long as
    /// that of one of the known users, always the same one, so that timing does not reveal which users exist.
    fn hash(&self, user: &[u8]) -> (Hash, bool) {
        if let Some(hash) = self.0.get(user) {
            return (hash.clone(), true);
        }
        let digest = aws_lc_rs::digest::digest(&SHA256, user);
        let number = digest.as_ref().iter().take(4).fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let cost = self.0.values().nth(number % self.0.len().max(1)).map_or(10, |hash| hash.cost);
        (Hash::of_nobody(cost), false)
    }
}

/// Digests of recently checked credentials.
#[derive(Default)]
struct Recent {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Recent {
    fn add(&mut self, digest: [u8; 32]) {
        if self.known.insert(digest) {
            self.order.push_back(digest);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

/// Checks passwords and caches the results.
#[derive(Default)]
pub(super) struct Authenticator {
    /// Separate from the failed checks, so that guesses do not evict the successful ones.
    right: Mutex<Recent>,
    wrong: Mutex<Recent>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Authenticator {
    /// Returns true if the `Authorization` header contains a known user and the correct password.
    pub(super) async fn lets_in(&self, users: &UserTable, header: Option<&HeaderValue>) -> bool {
        let Some((user, password)) = header.and_then(credentials) else { return false };
        let (hash, is_known) = users.hash(&user);
        let digest = digest(&[&user, hash.text.expose_secret().as_bytes(), &password]);
        if let Some(known) = self.remembered(&digest) {
            return known;
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // An earlier request in the queue may have checked the same credentials.
        if let Some(known) = self.remembered(&digest) {
            return known;
        }
        let checked = tokio::task::spawn_blocking(move || {
            // Held until the check is done, even if the client disconnects.
            let _turn = turn;
            #[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
            bcrypt::verify(&password, hash.text.expose_secret()).unwrap_or(false)
        });
        let Ok(is_right) = checked.await else { return false };
        let is_right = is_right && is_known;
        (if is_right { &self.right } else { &self.wrong }).lock().add(digest);
        is_right
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<bool> {
        let knows = |recent: &Mutex<Recent>| recent.lock().known.contains(digest);
        if knows(&self.right) {
            return Some(true);
        }
        knows(&self.wrong).then_some(false)
    }
}

/// Returns user and password. The password may contain colons, and neither needs to be UTF-8.
fn credentials(header: &HeaderValue) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Password whose hashes are like those of `htpasswd -nbB -C 4 "" "a:secret"`, with the prefixes of other
    /// programs too.
    const SECRET: &str = "a:secret";

    fn header(user: &str, password: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("basic {}", STANDARD.encode(format!("{user}:{password}")))).unwrap()
    }

    fn users() -> UserTable {
        let mut users = UserTable::default();
        for (name, version) in
            [("a", bcrypt::Version::TwoA), ("b", bcrypt::Version::TwoB), ("y", bcrypt::Version::TwoY)]
        {
            let hash = bcrypt::hash_with_result(SECRET, 4).unwrap().format_for_version(version);
            users.add(name, Hash::parse(&hash).unwrap());
        }
        users
    }

    #[tokio::test]
    async fn only_the_right_password_lets_in() {
        let (users, authenticator) = (users(), Authenticator::default());
        for _ in 0..2 {
            for name in ["a", "b", "y"] {
                assert!(authenticator.lets_in(&users, Some(&header(name, SECRET))).await, "{name}");
                assert!(!authenticator.lets_in(&users, Some(&header(name, "secret"))).await, "{name}");
                assert!(!authenticator.lets_in(&users, Some(&header(name, ""))).await, "{name}");
            }
            assert!(!authenticator.lets_in(&users, Some(&header("c", SECRET))).await);
        }
        for wrong in ["", "Basic", "Basic ", "Basic !", "Basic YQ==", "Bearer YTphOnNlY3JldA=="] {
            assert!(!authenticator.lets_in(&users, Some(&HeaderValue::from_static(wrong))).await, "{wrong}");
        }
        assert!(!authenticator.lets_in(&users, None).await);
        assert_eq!(authenticator.right.lock().order.len(), 3);
        assert_eq!(authenticator.wrong.lock().order.len(), 7);
    }

    #[tokio::test]
    async fn guesses_do_not_push_out_who_was_let_in() {
        let (users, authenticator) = (users(), Authenticator::default());
        assert!(authenticator.lets_in(&users, Some(&header("a", SECRET))).await);
        for guess in 0..=REMEMBERED {
            assert!(!authenticator.lets_in(&users, Some(&header("a", &guess.to_string()))).await);
        }
        assert_eq!(authenticator.wrong.lock().known.len(), REMEMBERED);
        assert_eq!(authenticator.right.lock().known.len(), 1);
    }

    #[test]
    fn unknown_users_cost_as_much_as_known_ones() {
        let mut users = UserTable::default();
        let hash = |cost| Hash::parse(&bcrypt::hash_with_result("x", cost).unwrap().to_string()).unwrap();
        users.add("a", hash(4));
        users.add("b", hash(5));
        let costs: HashSet<u32> = (0..100).map(|n| users.hash(format!("user{n}").as_bytes()).0.cost).collect();
        assert_eq!(costs, HashSet::from([4, 5]));
        for cost in costs {
            let nobody = Hash::of_nobody(cost);
            assert_eq!(Hash::parse(nobody.text.expose_secret()).unwrap().cost, cost);
            assert!(!bcrypt::verify("fakepassword", nobody.text.expose_secret()).unwrap());
        }
    }

    #[test]
    fn what_is_no_hash() {
        let good = bcrypt::hash_with_result("x", 4).unwrap().to_string();
        for same in
            [good.replace("$2b$", "$2$"), good.replace("$2b$", "$2x$"), format!("{good}\n"), format!("{good}xyz")]
        {
            assert_eq!(Hash::parse(&same).unwrap().text.expose_secret(), good);
        }
        for bad in [
            "",
            "password",
            "$1$salt$hash",
            "$5$rounds=5000$x$y",
            &good[..59],
            &good.replace("$2b$", "$2bb$"),
            &good.replace("$04$", "$4$"),
        ] {
            assert_eq!(Hash::parse(bad).unwrap_err(), BadHash::NotBcrypt, "{bad}");
        }
        assert_eq!(Hash::parse(&good.replace("$04$", "$03$")).unwrap_err(), BadHash::Cost);
        assert_eq!(Hash::parse(&good.replace("$04$", "$99$")).unwrap_err(), BadHash::Cost);
    }
}
