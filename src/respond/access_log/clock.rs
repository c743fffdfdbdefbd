//! The time of a record as text, formatted once a second.

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// A wall-clock time as text, in UTC. The caller sets it; formatting is done when the second
/// changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    second: u64,
    millis: u16,
    /// `2026-01-02T03:04:05`
    rfc3339: [u8; 19],
    /// `02/Jan/2026:03:04:05`
    clf: [u8; 20],
}

impl Clock {
    /// A clock that stands at this time, milliseconds since 1970 in UTC.
    pub fn at(unix_ms: u64) -> Self {
        let mut clock = Self {
            second: u64::MAX,
            millis: 0,
            rfc3339: *b"0000-00-00T00:00:00",
            clf: *b"00/Jan/0000:00:00:00",
        };
        clock.set(unix_ms);
        clock
    }

    /// Moves it to this time, milliseconds since 1970 in UTC. Years beyond 9999 show their last
    /// four digits.
    #[inline]
    pub fn set(&mut self, unix_ms: u64) {
        self.millis = (unix_ms % 1000) as u16;
        if unix_ms / 1000 != self.second {
            self.second = unix_ms / 1000;
            self.format();
        }
    }

    fn format(&mut self) {
        let (year, month, day) = date(self.second / 86_400);
        let of_day = (self.second % 86_400) as u32;
        let time = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(two);
        let (century, year) = (two(year / 100 % 100), two(year % 100));

        put(&mut self.rfc3339, &[(0, century), (2, year), (5, two(month)), (8, two(day))]);
        put(&mut self.rfc3339, &[(11, time[0]), (14, time[1]), (17, time[2])]);

        let name = (month as usize - 1) * 3;
        self.clf[3..6].copy_from_slice(&MONTHS[name..name + 3]);
        put(&mut self.clf, &[(0, two(day)), (7, century), (9, year)]);
        put(&mut self.clf, &[(12, time[0]), (15, time[1]), (18, time[2])]);
    }

    /// Appends `2026-01-02T03:04:05.678Z` (RFC 3339).
    pub fn rfc3339(&self, out: &mut Vec<u8>) {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        text[..19].copy_from_slice(&self.rfc3339);
        text[20] = b'0' + (self.millis / 100) as u8;
        text[21..23].copy_from_slice(&two(u32::from(self.millis % 100)));
        out.extend_from_slice(&text);
    }

    /// Appends `02/Jan/2026:03:04:05 +0000` (the common log format).
    pub fn clf(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.clf);
        out.extend_from_slice(b" +0000");
    }
}

fn put(text: &mut [u8], pairs: &[(usize, [u8; 2])]) {
    for (at, digits) in pairs {
        text[*at..at + 2].copy_from_slice(digits);
    }
}

/// The last two digits of a number.
fn two(number: u32) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month and day of a number of days since 1970 (proleptic Gregorian calendar).
///
/// Counted in years that begin in March, so that the leap day is the last of its year, and in
/// eras of 400 years, after which the calendar repeats.
fn date(days_since_1970: u64) -> (u32, u32, u32) {
    const DAYS_0000_03_01_TO_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days_since_1970 + DAYS_0000_03_01_TO_1970;
    let day_of_era = days % ERA;
    // Leap days so far are taken out: one in 4 years, but for those of centuries, but for the
    // one at the era's end.
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months of 31, 30, 31, 30, 31 days repeat: 153 days each five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = days / ERA * 400 + year_of_era + u64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn texts(unix_ms: u64) -> (String, String) {
        let clock = Clock::at(unix_ms);
        let (mut rfc3339, mut clf) = (Vec::new(), Vec::new());
        clock.rfc3339(&mut rfc3339);
        clock.clf(&mut clf);
        (String::from_utf8(rfc3339).unwrap(), String::from_utf8(clf).unwrap())
    }

    #[test]
    fn times_read_as_documented() {
        let (rfc3339, clf) = texts(1_767_323_045_678);
        assert_eq!(rfc3339, "2026-01-02T03:04:05.678Z");
        assert_eq!(clf, "02/Jan/2026:03:04:05 +0000");
        assert_eq!(texts(0).0, "1970-01-01T00:00:00.000Z");
        assert_eq!(texts(951_782_400_007).0, "2000-02-29T00:00:00.007Z");
        assert_eq!(texts(4_107_542_400_000).0, "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn setting_moves_it() {
        let mut clock = Clock::at(1_767_323_045_678);
        clock.set(1_767_323_046_001);
        assert_eq!(clock, Clock::at(1_767_323_046_001));
        assert_ne!(clock, Clock::at(1_767_323_046_002));
    }

    #[test]
    fn every_day_of_three_centuries_agrees_with_another_formatter() {
        for day in 0..110_000u64 {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
            let http = httpdate::fmt_http_date(time);
            let (_, clf) = texts(day * 86_400_000);
            assert_eq!(clf[..11].replace('/', " "), http[5..16]);
        }
    }

    #[test]
    fn no_time_is_too_late() {
        texts(u64::MAX);
    }
}
