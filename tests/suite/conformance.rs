//! The guarantees of [`UserStore`], one check each. A store conforms if every check returns.

use std::{collections::HashSet, thread};

use hello::{
    birthday::DateOfBirth,
    store::{StoreError, UserStore},
    username::Username,
};
use pollster::block_on;

/// A check, called with a function that opens the store: each thread needs its own.
pub type Check<S> = fn(&(dyn Fn() -> S + Sync));

/// Every check, with its name. Each has its own usernames, so one store serves them all.
///
/// All dates are in the year 2000, and none is 29 February: a greeting distinguishes these.
pub fn checks<S: UserStore>() -> Vec<(&'static str, Check<S>)> {
    vec![
        ("responds_to_a_ping", |store| {
            assert_eq!(block_on(store().ping()), Ok(()));
        }),
        ("an_unknown_user_is_none", |store| {
            assert_eq!(read(&store(), "Nobody"), Ok(None));
        }),
        ("returns_what_was_saved", |store| {
            save(&store(), "Grace", born(12, 9));
            assert_eq!(read(&store(), "Grace"), Ok(Some(born(12, 9))));
        }),
        ("replaces_what_was_saved", |store| {
            save(&store(), "Edsger", born(5, 11));
            save(&store(), "Edsger", born(5, 12));
            assert_eq!(read(&store(), "Edsger"), Ok(Some(born(5, 12))));
            // Idempotent.
            save(&store(), "Edsger", born(5, 12));
            assert_eq!(read(&store(), "Edsger"), Ok(Some(born(5, 12))));
        }),
        ("usernames_are_case_sensitive", |store| {
            save(&store(), "Case", born(1, 1));
            save(&store(), "case", born(2, 2));
            save(&store(), "CASE", born(3, 3));
            assert_eq!(read(&store(), "Case"), Ok(Some(born(1, 1))));
            assert_eq!(read(&store(), "case"), Ok(Some(born(2, 2))));
            assert_eq!(read(&store(), "CASE"), Ok(Some(born(3, 3))));
            assert_eq!(read(&store(), "cASE"), Ok(None));
        }),
        ("stores_the_longest_username", |store| {
            let (long, other) = ("L".repeat(64), format!("{}M", "L".repeat(63)));
            save(&store(), &long, born(7, 4));
            assert_eq!(read(&store(), &long), Ok(Some(born(7, 4))));
            assert_eq!(read(&store(), &other), Ok(None));
            assert_eq!(read(&store(), &long[1..]), Ok(None));
        }),
        ("separates_users", |store| {
            let users: Vec<_> = (0..100u8)
                .map(|n| {
                    let letters = [n / 10, n % 10].map(|digit| char::from(b'a' + digit));
                    let name = format!("Many{}{}", letters[0], letters[1]);
                    (name, born(u32::from(n % 12) + 1, u32::from(n % 28) + 1))
                })
                .collect();
            let store = store();
            for (name, date) in &users {
                save(&store, name, *date);
            }
            for (name, date) in &users {
                assert_eq!(read(&store, name), Ok(Some(*date)), "{name}");
            }
        }),
        ("of_64_concurrent_saves_one_wins", |store| {
            let dates: Vec<_> = (0..64).map(|n| born(n % 12 + 1, n % 28 + 1)).collect();
            thread::scope(|scope| {
                for date in &dates {
                    scope.spawn(|| save(&store(), "Race", *date));
                }
            });
            let left = read(&store(), "Race")
                .expect("the store is available")
                .expect("a user");
            assert!(dates.contains(&left), "{left} was never saved");
            assert_eq!(read(&store(), "Race"), Ok(Some(left)), "it is stable");
        }),
        ("no_read_is_torn", |store| {
            save(&store(), "Torn", born(1, 1));
            let seen: HashSet<String> = thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let store = store();
                    for n in 0..200 {
                        save(&store, "Torn", born(n % 12 + 1, 1));
                    }
                });
                let store = store();
                let mut seen = HashSet::new();
                while !writer.is_finished() {
                    let date = read(&store, "Torn")
                        .expect("the store is available")
                        .expect("a user");
                    seen.insert(date.to_string());
                }
                seen
            });
            let saved: HashSet<String> = (1..=12).map(|m| born(m, 1).to_string()).collect();
            assert!(seen.is_subset(&saved), "{seen:?}");
        }),
    ]
}

fn born(month: u32, day: u32) -> DateOfBirth {
    DateOfBirth::from_ymd(2000, month, day).expect("a day of the year 2000")
}

fn name(text: &str) -> Username {
    Username::parse(text.as_bytes()).expect("a username")
}

fn save<S: UserStore>(store: &S, username: &str, date: DateOfBirth) {
    assert_eq!(block_on(store.save(&name(username), date)), Ok(()));
}

fn read<S: UserStore>(store: &S, username: &str) -> Result<Option<DateOfBirth>, StoreError> {
    block_on(store.birthday_of(&name(username)))
}
