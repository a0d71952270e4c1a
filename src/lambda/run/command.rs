//! Command: what starts an environment, and the variables it sees.
//!
//! In: a version, the settings, the Runtime API's address. Out: arguments and variables. Never: a process, a variable of this
//! process but PATH.

use std::path::Path;

use super::settings::Settings;
use super::version::Version;
use crate::config::compiled::LambdaRuntime;

/// Open files of one process (Lambda Developer Guide, "Lambda quotas").
const FILES: u32 = 1024;
/// Address space beyond the function's memory, in KiB: code, stacks and reserved ranges that are never touched. What is
/// touched is counted by `memory`; this bounds what can be touched between two looks.
const HEADROOM_KIB: u64 = 4 << 20;
/// Share of the memory that V8's old generation may have, in percent.
const HEAP_PERCENT: u64 = 90;

/// The shell that sets limits, leaves a guard in the group, and becomes the runtime.
///
/// The guard is nobody's child. Its standard input is a pipe that this process holds: when this process is gone, however it
/// went, the guard reads the end and kills the group. A frozen group is woken by the kernel (SIGHUP, SIGCONT) then, which the
/// guard survives.
const SHELL: &str = r#"ulimit -n "$1"; [ "$2" = 0 ] || ulimit -v "$2"; shift 2
exec 3<&0
( (trap '' HUP; read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & )
exec "$@" 3<&- </dev/null"#;

/// Arguments after `/bin/sh`.
pub(super) fn arguments(version: &Version, settings: &Settings) -> Vec<String> {
    let space = match version.runtime {
        // V8 reserves far more than it touches.
        LambdaRuntime::Node(_) | LambdaRuntime::JavaScript => 0,
        LambdaRuntime::Python(_) | LambdaRuntime::Provided(_) => u64::from(version.memory) * 1024 + HEADROOM_KIB,
    };
    let text = |text: &str| text.to_owned();
    let mut all = vec![text("-c"), text(SHELL), text("sh"), FILES.to_string(), space.to_string()];
    if !version.command.is_empty() {
        all.extend(version.command.iter().cloned());
        return all;
    }
    match &version.runtime {
        LambdaRuntime::Python(_) => all.extend([&settings.python, "-m", "awslambdaric", &version.handler].map(text)),
        LambdaRuntime::Node(_) => {
            let heap = u64::from(version.memory) * HEAP_PERCENT / 100;
            all.push(settings.node.clone());
            all.push(format!("--max-old-space-size={heap}"));
            all.push(settings.node_client.to_string_lossy().into_owned());
            all.push(version.handler.clone());
        }
        LambdaRuntime::Provided(_) => all.push(version.code.join("bootstrap").to_string_lossy().into_owned()),
        // It has no process: see `script`.
        LambdaRuntime::JavaScript => {}
    }
    all
}

/// Variables of an environment, the function's own last.
///
/// `home` is the environment's own directory: it is TMPDIR and HOME, so that no SDK finds the operator's files.
pub(super) fn variables(version: &Version, settings: &Settings, api: &str, home: &Path) -> Vec<(String, String)> {
    let home = home.to_string_lossy();
    let code = version.code.to_string_lossy();
    let runtime_dir = settings.runtime_dir.to_string_lossy();
    let stream = format!("[{}]{}", version.version, home.rsplit('/').next().unwrap_or_default());
    let mut all = owned(&[
        ("LANG", "en_US.UTF-8"),
        ("PATH", &settings.path),
        ("HOME", &home),
        ("TMPDIR", &home),
        ("AWS_LAMBDA_RUNTIME_API", api),
        ("LAMBDA_TASK_ROOT", &code),
        ("LAMBDA_RUNTIME_DIR", &runtime_dir),
        // There is no metadata service to ask for credentials; asking would take seconds.
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // The code may be the operator's own directory: nothing is written into it.
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUNBUFFERED", "1"),
    ]);
    all.extend(shared(version, settings, &stream));
    all
}

/// Those that every runtime has (Lambda Developer Guide, "Defined runtime environment variables"), the function's own last.
pub(super) fn shared(version: &Version, settings: &Settings, stream: &str) -> Vec<(String, String)> {
    let execution = format!("AWS_Lambda_{}", version.runtime.as_str());
    let group = format!("/aws/lambda/{}", version.name);
    let memory = version.memory.to_string();
    let mut all = owned(&[
        ("TZ", ":UTC"),
        ("AWS_REGION", &settings.region),
        ("AWS_DEFAULT_REGION", &settings.region),
        ("AWS_EXECUTION_ENV", &execution),
        ("AWS_LAMBDA_FUNCTION_NAME", &version.name),
        ("AWS_LAMBDA_FUNCTION_VERSION", &version.version),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", stream),
        ("_HANDLER", &version.handler),
    ]);
    all.extend(settings.credentials.iter().map(|(name, value)| (name.clone(), value.expose().clone())));
    let url = |service: &str| format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase().replace([' ', '-'], "_"));
    all.extend(settings.endpoints.iter().map(|(service, to)| (url(service), to.clone())));
    all.extend(version.environment.iter().map(|(name, value)| (name.clone(), value.expose().clone())));
    all
}

fn owned(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::settings::tests::settings;
    use super::*;
    use crate::config::secret::Secret;

    pub(in crate::lambda::run) fn version(runtime: &str) -> Version {
        Version {
            name: "todo".into(),
            version: "$LATEST".into(),
            arn: "arn:aws:lambda:r:1:function:todo".into(),
            runtime: LambdaRuntime::parse(runtime).unwrap(),
            handler: "app.handler".into(),
            code: "/code".into(),
            code_sha256: String::new(),
            command: Vec::new(),
            memory: 256,
            timeout: std::time::Duration::from_secs(3),
            environment: vec![("TABLE".into(), Secret::new("todo".into()))],
        }
    }

    #[test]
    fn each_runtime_has_its_command() {
        for (runtime, space, want) in [
            ("python3.13", "4456448", &["python3", "-m", "awslambdaric", "app.handler"][..]),
            ("nodejs22.x", "0", &["node", "--max-old-space-size=230", "/runtime/client.mjs", "app.handler"]),
            ("provided.al2023", "4456448", &["/code/bootstrap"]),
        ] {
            let got = arguments(&version(runtime), &settings());
            assert_eq!(got[3..5], ["1024", space], "{runtime}");
            assert_eq!(got[5..], *want, "{runtime}");
        }
        let own = Version { command: vec!["/bin/own".into(), "x".into()], ..version("python3.13") };
        assert_eq!(arguments(&own, &settings())[5..], ["/bin/own", "x"]);
    }

    #[test]
    fn variables_are_the_services() {
        let all = variables(&version("python3.13"), &settings(), "127.0.0.1:5", Path::new("/tmp/e1"));
        let get = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        for (name, want) in [
            ("AWS_LAMBDA_FUNCTION_NAME", "todo"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:5"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "[$LATEST]e1"),
            ("LAMBDA_TASK_ROOT", "/code"),
            ("HOME", "/tmp/e1"),
            ("TABLE", "todo"),
        ] {
            assert_eq!(get(name), Some(want), "{name}");
        }
        assert!(get("AWS_ACCESS_KEY_ID").is_some_and(|key| !key.is_empty()));
    }
}
