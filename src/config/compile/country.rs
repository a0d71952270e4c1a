//! Country: which codes name one.
//!
//! In: a code as it was written. Out: its two letters, or what was meant. Never: a code that no database has, which would match nobody without a
//! word.
//!
//! Source: ISO 3166-1, the codes that are assigned.

/// Those assigned, and XK: Kosovo has none, and databases call it so.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE \
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM \
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC \
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// What people write for a country whose code is another one.
const SLIPS: [(&str, &str); 3] = [("UK", "GB"), ("EN", "GB"), ("EL", "GR")];

/// The two letters of `code`, if a country has them.
pub(super) fn read(code: &str) -> Option<[u8; 2]> {
    let two = <[u8; 2]>::try_from(code.as_bytes()).ok()?;
    CODES.split(' ').any(|known| known.as_bytes() == two).then_some(two)
}

/// The code that was meant, where that is certain: of two letters every other code is as near as the next.
pub(super) fn meant(code: &str) -> Option<&'static str> {
    let upper = code.trim().to_ascii_uppercase();
    let slip = SLIPS.iter().find(|(slip, _)| *slip == upper).map(|(_, meant)| *meant);
    slip.or_else(|| CODES.split(' ').find(|known| *known == upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_iso() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 250, "249 are assigned");
        assert!(codes.is_sorted() && codes.iter().all(|code| code.len() == 2));
        for (code, known, hint) in [
            ("DE", true, Some("DE")),
            ("GB", true, Some("GB")),
            ("XK", true, Some("XK")),
            ("UK", false, Some("GB")),
            ("uk", false, Some("GB")),
            ("de", false, Some("DE")),
            ("DE ", false, Some("DE")),
            ("EU", false, None),
            ("XX", false, None),
            ("SU", false, None),
            ("DEU", false, None),
            ("D", false, None),
            ("", false, None),
            ("E A", false, None),
            ("ÄÖ", false, None),
        ] {
            assert_eq!((read(code).is_some(), meant(code)), (known, hint), "{code}");
        }
    }
}
