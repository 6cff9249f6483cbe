//! Who saved what, what was acknowledged, and whether an answer fits that.
//!
//! Each user is a register. A write takes effect at some moment between its request and its answer; one
//! without a clear answer at some moment after its request, or never. An answer fits if some order of the
//! writes explains it. A write that was not acknowledged, and was followed by one that was, should not show
//! up any more: where it does, the verdict is [`Verdict::Late`].

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::NaiveDate;

use crate::calendar::{self, Birthday};

/// A write that was superseded this long ago is forgotten: no request takes that long.
const MEMORY: Duration = Duration::from_secs(120);

/// The writes of all users.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Register>>);

/// The writes of one user, in the order in which they began.
#[derive(Clone, Debug, Default)]
struct Register {
    writes: Vec<Write>,
    /// How many writes there have been.
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    number: usize,
    birthday: Birthday,
    began: Instant,
    end: Option<(Instant, Outcome)>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 204: it has taken effect.
    Acknowledged,
    /// It never reached the service, or was invalid: it has no effect.
    Void,
    /// 5xx, or no answer: it may have taken effect.
    Unclear,
}

/// A write that is under way.
#[derive(Debug)]
pub struct Ticket {
    user: usize,
    number: usize,
    /// What to save.
    pub birthday: Birthday,
}

/// When a read was under way.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Before its request was sent.
    pub from: Instant,
    /// After its answer was there.
    pub to: Instant,
}

/// Whether an answer fits the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Right,
    /// It shows a write that was not acknowledged, after a later one was.
    Late,
    /// It does not.
    Wrong,
}

impl Ledger {
    /// Begins a write for `user`, whose request has not been sent yet.
    pub fn begin(&self, user: usize) -> Ticket {
        let mut registers = self.registers();
        if registers.len() <= user {
            registers.resize(user + 1, Register::default());
        }
        let register = &mut registers[user];
        let birthday = Birthday::number(user * 59 + register.count * 131);
        let number = register.count;
        register.count += 1;
        register.forget();
        register.writes.push(Write {
            number,
            birthday,
            began: Instant::now(),
            end: None,
        });
        Ticket {
            user,
            number,
            birthday,
        }
    }

    /// Ends a write, after its answer has been read.
    pub fn end(&self, ticket: &Ticket, outcome: Outcome) {
        let mut registers = self.registers();
        let mut writes = registers[ticket.user].writes.iter_mut();
        if let Some(write) = writes.find(|write| write.number == ticket.number) {
            write.end = Some((Instant::now(), outcome));
        }
    }

    /// Judges what a read of `user` was answered: a greeting, or `None` for an unknown user, while it was
    /// any of `todays`.
    pub fn judge(
        &self,
        user: usize,
        window: Window,
        todays: &[NaiveDate],
        greeting: Option<&str>,
    ) -> Verdict {
        let registers = self.registers();
        let empty = Register::default();
        let register = registers.get(user).unwrap_or(&empty);
        let Some(greeting) = greeting else {
            let is_saved = register
                .writes
                .iter()
                .any(|write| write.acknowledged().is_some_and(|at| at < window.from));
            return if is_saved {
                Verdict::Wrong
            } else {
                Verdict::Right
            };
        };
        let mut verdict = Verdict::Wrong;
        for write in &register.writes {
            let fits = todays
                .iter()
                .any(|&today| greeting == calendar::greeting(&name(user), write.birthday, today));
            if !fits || write.is_void() || write.began > window.to {
                continue;
            }
            if !register.is_superseded(write, window.from) {
                return Verdict::Right;
            }
            if write.acknowledged().is_none() {
                verdict = Verdict::Late;
            }
        }
        verdict
    }

    /// The users with a write that was acknowledged.
    pub fn saved(&self) -> Vec<usize> {
        let registers = self.registers();
        let users = registers.iter().enumerate();
        let saved = users.filter(|(_, register)| {
            let mut writes = register.writes.iter();
            writes.any(|write| write.acknowledged().is_some())
        });
        saved.map(|(user, _)| user).collect()
    }

    fn registers(&self) -> MutexGuard<'_, Vec<Register>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register {
    /// Whether a write that was acknowledged before `moment` began after `write` had ended.
    fn is_superseded(&self, write: &Write, moment: Instant) -> bool {
        let Some((ended, _)) = write.end else {
            return false;
        };
        self.writes
            .iter()
            .any(|later| later.began > ended && later.acknowledged().is_some_and(|at| at < moment))
    }

    /// Drops what no answer can show any more. What was unclear stays.
    fn forget(&mut self) {
        let Some(moment) = Instant::now().checked_sub(MEMORY) else {
            return;
        };
        let old = self.clone();
        self.writes.retain(|write| {
            let is_over = write.is_void() || write.acknowledged().is_some();
            !(is_over && old.is_superseded(write, moment))
        });
    }
}

impl Write {
    fn acknowledged(&self) -> Option<Instant> {
        let (at, outcome) = self.end?;
        (outcome == Outcome::Acknowledged).then_some(at)
    }

    fn is_void(&self) -> bool {
        self.end
            .is_some_and(|(_, outcome)| outcome == Outcome::Void)
    }
}

/// The name of `user`: letters alone.
pub fn name(mut user: usize) -> String {
    let mut name = "Chaos".to_owned();
    loop {
        name.push(char::from(b"abcdefghijklmnopqrstuvwxyz"[user % 26]));
        user /= 26;
        if user == 0 {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: usize = 5;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2027, 6, 20).expect("a date")
    }

    fn save(ledger: &Ledger, outcome: Outcome) -> Birthday {
        let ticket = ledger.begin(USER);
        ledger.end(&ticket, outcome);
        ticket.birthday
    }

    /// Judges a read that begins and ends now.
    fn read(ledger: &Ledger, birthday: Option<Birthday>) -> Verdict {
        let greeting = birthday.map(|it| calendar::greeting(&name(USER), it, today()));
        let now = Instant::now();
        let window = Window { from: now, to: now };
        ledger.judge(USER, window, &[today()], greeting.as_deref())
    }

    #[test]
    fn a_lost_write_and_a_wrong_answer_are_found() {
        let ledger = Ledger::default();
        assert_eq!(read(&ledger, None), Verdict::Right);
        let first = save(&ledger, Outcome::Acknowledged);
        assert_eq!(read(&ledger, Some(first)), Verdict::Right);
        assert_eq!(read(&ledger, None), Verdict::Wrong, "the write is lost");
        let second = save(&ledger, Outcome::Acknowledged);
        assert_eq!(read(&ledger, Some(second)), Verdict::Right);
        assert_eq!(read(&ledger, Some(first)), Verdict::Wrong, "an older value");
        let never = Birthday::number(second.ordinal() + 1);
        assert_eq!(
            read(&ledger, Some(never)),
            Verdict::Wrong,
            "a value that was never written"
        );
        assert_eq!(ledger.saved(), [USER]);
    }

    #[test]
    fn an_unclear_write_may_have_taken_effect_or_not() {
        let ledger = Ledger::default();
        let first = save(&ledger, Outcome::Acknowledged);
        let unclear = save(&ledger, Outcome::Unclear);
        assert_eq!(read(&ledger, Some(first)), Verdict::Right);
        assert_eq!(read(&ledger, Some(unclear)), Verdict::Right);
        let last = save(&ledger, Outcome::Acknowledged);
        assert_eq!(read(&ledger, Some(last)), Verdict::Right);
        assert_eq!(read(&ledger, Some(unclear)), Verdict::Late);
        assert_eq!(read(&ledger, Some(first)), Verdict::Wrong);
    }

    #[test]
    fn a_void_write_has_no_effect() {
        let ledger = Ledger::default();
        let first = save(&ledger, Outcome::Acknowledged);
        let void = save(&ledger, Outcome::Void);
        assert_eq!(read(&ledger, Some(first)), Verdict::Right);
        assert_eq!(read(&ledger, Some(void)), Verdict::Wrong);
    }

    #[test]
    fn of_concurrent_writes_either_may_be_the_last() {
        let ledger = Ledger::default();
        let (one, other) = (ledger.begin(USER), ledger.begin(USER));
        ledger.end(&one, Outcome::Acknowledged);
        ledger.end(&other, Outcome::Acknowledged);
        assert_eq!(read(&ledger, Some(one.birthday)), Verdict::Right);
        assert_eq!(read(&ledger, Some(other.birthday)), Verdict::Right);
        assert_eq!(read(&ledger, None), Verdict::Wrong);
    }

    #[test]
    fn a_read_beside_a_write_sees_the_value_before_or_after() {
        let ledger = Ledger::default();
        let before = save(&ledger, Outcome::Acknowledged);
        let from = Instant::now();
        let after = save(&ledger, Outcome::Acknowledged);
        let window = Window {
            from,
            to: Instant::now(),
        };
        for birthday in [before, after] {
            let greeting = calendar::greeting(&name(USER), birthday, today());
            let verdict = ledger.judge(USER, window, &[today()], Some(&greeting));
            assert_eq!(verdict, Verdict::Right);
        }
    }

    #[test]
    fn a_greeting_of_another_day_is_wrong() {
        let ledger = Ledger::default();
        let birthday = save(&ledger, Outcome::Acknowledged);
        let tomorrow = today().succ_opt().expect("a date");
        let greeting = calendar::greeting(&name(USER), birthday, tomorrow);
        let now = Instant::now();
        let window = Window { from: now, to: now };
        let judge = |todays: &[NaiveDate]| ledger.judge(USER, window, todays, Some(&greeting));
        assert_eq!(judge(&[today()]), Verdict::Wrong);
        assert_eq!(judge(&[today(), tomorrow]), Verdict::Right);
    }

    #[test]
    fn users_have_names_of_letters_and_no_two_the_same() {
        assert_eq!(name(0), "Chaosa");
        assert_eq!(name(26), "Chaosab");
    }
}
