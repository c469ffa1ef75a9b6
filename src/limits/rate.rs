//! Rates: how much at once, and how fast it comes back.

use crate::{config::duration, users::UserType};
use governor::Quota;
use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// A rate that one source may keep to, or no limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate(Option<Quota>);

/// The rates of one class by the type of the user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    user: Rate,
    admin: Rate,
    bot: Rate,
}

/// Most that comes at once, or comes back in one time: with it and the longest time no sum of times overflows.
const MOST: u32 = 1_000_000;
/// The longest time in which a refill comes.
const LONGEST: Duration = Duration::from_hours(1);
const EXPECTED: &str = "burst/refill is expected, the refill a second (10/5) or another time (5/5/30s) up to 1h, or off";

impl Rate {
    /// The token bucket, if there is a limit.
    pub fn quota(self) -> Option<Quota> {
        self.0
    }
}

impl Rates {
    /// The rate of users of this type.
    pub fn of(&self, user_type: UserType) -> Rate {
        match user_type {
            UserType::User => self.user,
            UserType::Admin => self.admin,
            UserType::Bot => self.bot,
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Reads `10/5`, `5/5/30s`, `off`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self(None));
        }
        let mut parts = text.splitn(3, '/');
        let mut number = || parts.next()?.parse().ok().filter(|number: &NonZeroU32| number.get() <= MOST);
        let (burst, refill) = number().zip(number()).ok_or(EXPECTED)?;
        let time = parts.next().map_or(Ok(Duration::from_secs(1)), duration).map_err(|_| EXPECTED)?;
        if time > LONGEST {
            return Err(EXPECTED.into());
        }
        let quota = Quota::with_period(time / refill.get()).ok_or(EXPECTED)?.allow_burst(burst);
        Ok(Self(Some(quota)))
    }
}

impl FromStr for Rates {
    type Err = String;

    /// Reads a rate for all, followed by those of bots and admins if they differ: `10/5,bot=100/50,admin=off`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let user: Rate = parts.next().unwrap_or_default().parse()?;
        let mut rates = Self { user, admin: user, bot: user };
        for part in parts {
            let (kind, rate) = part.trim().split_once('=').ok_or("bot=… or admin=… is expected after the comma")?;
            match kind.trim() {
                "bot" => rates.bot = rate.parse()?,
                "admin" => rates.admin = rate.parse()?,
                _ => return Err("only bot and admin have rates of their own".into()),
            }
        }
        Ok(rates)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(quota) => write!(f, "{}, one more each {:?}", quota.burst_size(), quota.replenish_interval()),
            None => f.write_str("off"),
        }
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.user)?;
        [("bot", self.bot), ("admin", self.admin)]
            .into_iter()
            .filter(|(_, rate)| *rate != self.user)
            .try_for_each(|(kind, rate)| write!(f, "; {kind}: {rate:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<(u32, Duration)> {
        let quota = text.parse::<Rate>().unwrap().quota()?;
        Some((quota.burst_size().get(), quota.replenish_interval()))
    }

    #[test]
    fn a_rate_is_a_burst_and_a_refill_in_a_second_or_another_time() {
        assert_eq!(shown("10/5"), Some((10, Duration::from_millis(200))));
        assert_eq!(shown("5/5/30s"), Some((5, Duration::from_secs(6))));
        assert_eq!(shown(" 5/5/1m "), Some((5, Duration::from_secs(12))));
        assert_eq!(shown("off"), None);
        for bad in ["", "10", "10/", "/5", "0/5", "5/0", "-1/5", "1.5/2", "10/5/", "10/5/0s", "10/5/2h", "10/5/1s/1", "on", "9999999/1", "5/30 s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bots_and_admins_have_the_rate_of_all_unless_it_is_said() {
        let rates: Rates = "10/5,bot=100/50".parse().unwrap();
        assert_eq!(rates.of(UserType::Admin), rates.of(UserType::User));
        assert_eq!(rates.of(UserType::Bot), "100/50".parse().unwrap());
        assert_eq!("10/5,admin=off".parse::<Rates>().unwrap().of(UserType::Admin).quota(), None);
        for bad in ["10/5,", "10/5,bot", "10/5,owner=1/1", "bot=10/5", "10/5,bot=0/1"] {
            assert!(bad.parse::<Rates>().is_err(), "{bad:?}");
        }
    }
}
