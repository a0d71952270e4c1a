//! The test database (geo/test_database.py made it), whole and broken.

use super::*;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("geo/test.mmdb")
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn every_shape_of_record() {
    let db = Db::open(&[shipped()]).unwrap();
    for (address, want) in [
        (
            "192.0.2.1",
            Some(Place {
                country: some("DE"),
                country_name: some("Germany"),
                region: some("HE"),
                region_name: some("Hesse"),
                city: some("Frankfurt am Main"),
                postal_code: some("60313"),
                time_zone: some("Europe/Berlin"),
                latitude: Some(50.1188),
                longitude: Some(8.6843),
                ..Place::default()
            }),
        ),
        (
            "192.0.2.255",
            Some(Place {
                country: some("US"),
                country_name: some("United States"),
                region: some("OR"),
                region_name: some("Oregon"),
                city: some("Portland"),
                metro_code: Some(820),
                time_zone: some("America/Los_Angeles"),
                latitude: Some(45.5235),
                longitude: Some(-122.6762),
                ..Place::default()
            }),
        ),
        ("198.51.100.1", Some(Place { asn: Some(64496), as_name: some("Example Net"), ..Place::default() })),
        (
            "198.51.100.200",
            Some(Place {
                country: some("AU"),
                region_name: some("New South Wales"),
                city: some("Sydney"),
                latitude: Some(-33.8688),
                longitude: Some(151.209),
                ..Place::default()
            }),
        ),
        ("203.0.113.1", Some(Place { country: some("US"), ..Place::default() })),
        ("203.0.113.130", None),
        ("203.0.113.200", None),
        ("203.0.113.250", None),
        ("10.0.0.1", None),
        ("::ffff:203.0.113.1", Some(Place { country: some("US"), ..Place::default() })),
        ("2001:db8::1", Some(Place { country: some("JP"), country_name: some("Japan"), ..Place::default() })),
        ("2001:db8:1::1", Some(Place { country: some("BR"), ..Place::default() })),
        ("2001:db8:2::1", None),
        ("::1", None),
    ] {
        assert_eq!(db.lookup(address.parse().unwrap()), want, "{address}");
    }
}

#[test]
fn a_directory_is_all_its_databases() {
    let dir = tempfile::tempdir().unwrap();
    let all = [dir.path().to_owned()];
    assert_eq!(Db::open(&all).unwrap_err(), GeoError::Empty { path: dir.path().to_owned() });
    for name in ["a.mmdb", "b.mmdb", "notes.txt"] {
        std::fs::copy(shipped(), dir.path().join(name)).unwrap();
    }
    let db = Db::open(&all).unwrap();
    assert_eq!(db.files.len(), 2);
    assert_eq!(db.lookup("203.0.113.1".parse().unwrap()).unwrap().country, some("US"));
    std::fs::write(dir.path().join("c.mmdb"), "not one").unwrap();
    assert!(matches!(Db::open(&all), Err(GeoError::Broken { path, .. }) if path.ends_with("c.mmdb")));
    for n in 0..FILES_MAX {
        std::fs::copy(shipped(), dir.path().join(format!("{n}.mmdb"))).unwrap();
    }
    assert!(matches!(Db::open(&all), Err(GeoError::TooMany { .. })));
    assert!(matches!(Db::open(&[shipped(), dir.path().join("none")]), Err(GeoError::Read { .. })));
}

#[test]
fn what_one_file_lacks_another_fills_in() {
    let mut place = Place { country: some("DE"), latitude: Some(1.0), ..Place::default() };
    let record: record::Record = serde_json::from_str(
        r#"{"country_code": "FR", "city": "Paris", "latitude": 2.0, "longitude": 3.0, "timezone": "", "postcode": "1"}"#,
    )
    .unwrap();
    record.fill(&mut place);
    let want = Place {
        country: some("DE"),
        city: some("Paris"),
        postal_code: some("1"),
        latitude: Some(1.0),
        ..Place::default()
    };
    assert_eq!(place, want);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = std::fs::read(shipped()).unwrap();
    for length in 0..whole.len() {
        assert!(file::File::parse(whole[..length].to_vec()).is_err(), "{length} bytes");
        // Its end without its beginning.
        if let Ok(file) = file::File::parse(whole[whole.len() - length..].to_vec()) {
            file.find("192.0.2.1".parse().unwrap());
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_never_panics() {
    let whole = std::fs::read(shipped()).unwrap();
    let addresses: Vec<IpAddr> =
        ["192.0.2.1", "198.51.100.1", "198.51.100.200", "203.0.113.1", "2001:db8::1", "255.255.255.255", "::"]
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
    let mut refused = 0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[at] ^= flip;
            match file::File::parse(broken) {
                Ok(file) => addresses.iter().for_each(|address| {
                    if let Some(record) = file.find(*address) {
                        record.fill(&mut Place::default());
                    }
                }),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// `geo/fetch.sh asn` makes its database with geo/asn.py, from CSV.
#[test]
fn what_is_made_of_csv_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, text: &str| {
        let (csv, out) = (dir.path().join(format!("{name}.csv")), dir.path().join(format!("{name}.mmdb")));
        std::fs::write(&csv, text).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("geo/asn.py");
        let done = std::process::Command::new("python3").arg(script).arg(&out).arg(&csv).output().unwrap();
        (out, done)
    };
    let long = "x".repeat(300);
    let (out, done) = made(
        "good",
        &format!(
            "192.0.2.0,192.0.2.200,64496,\"Example, Inc.\"\n192.0.2.10,192.0.2.12,64497,Within\n192.0.2.0,192.0.2.3,64499,Front\n198.51.100.7,198.51.100.7,4200000000,{long}\n\
             2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,64498,Bücher\n"
        ),
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let db = Db::open(&[out]).unwrap();
    assert!(!db.knows_countries() && Db::open(&[shipped()]).unwrap().knows_countries());
    for (address, want) in [
        ("192.0.2.3", Some((64499, "Front"))),
        ("192.0.2.4", Some((64496, "Example, Inc."))),
        ("192.0.2.9", Some((64496, "Example, Inc."))),
        ("192.0.2.10", Some((64497, "Within"))),
        ("192.0.2.12", Some((64497, "Within"))),
        ("192.0.2.13", Some((64496, "Example, Inc."))),
        ("192.0.2.200", Some((64496, "Example, Inc."))),
        ("192.0.2.201", None),
        ("192.0.1.255", None),
        ("198.51.100.6", None),
        ("198.51.100.7", Some((4_200_000_000, long.as_str()))),
        ("2001:db8::1", Some((64498, "Bücher"))),
        ("2001:db8:1::", None),
    ] {
        let place = db.lookup(address.parse().unwrap());
        let found = place.as_ref().and_then(|place| Some((place.asn?, place.as_name.as_deref()?)));
        assert_eq!(found, want, "{address}");
    }
    for (text, want) in
        [("192.0.2.0,192.0.2.1,x,y\n", "bad.csv:1: "), ("192.0.2.0\n", "wanted first,last,number"), ("", "empty")]
    {
        let (out, done) = made("bad", text);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(want) && !out.exists(), "{text}: {said}");
    }
}
