//! Tables over mounts, written from the reference of the language.

use super::*;

fn mount(text: &str) -> Mount {
    let flag = MountFlag::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    flag.resolve(&|value| Ok::<_, Problem>(value.replace("$T", "/t")))
        .unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

fn check(text: &str, expected: Mount) {
    assert_eq!(mount(text), expected, "{text}");
}

fn bind(source: &str, target: &str, access: Access) -> Mount {
    Mount::Bind { source: source.to_owned(), target: target.to_owned(), access }
}

#[test]
fn bind_mounts() {
    check("target=/a", bind("", "/a", Access::ReadOnly));
    check("type=bind,target=/a", bind("", "/a", Access::ReadOnly));
    check("TYPE=BIND,Target=/a", bind("", "/a", Access::ReadOnly));
    check("type=bind,source=b,dst=a", bind("b", "a", Access::ReadOnly));
    check("type=bind,src=/b/c,destination=/a", bind("/b/c", "/a", Access::ReadOnly));
    check("type=bind,target=/a,rw", bind("", "/a", Access::ReadWrite));
    check("type=bind,target=/a,readwrite=true", bind("", "/a", Access::ReadWrite));
    check("type=bind,target=/a,rw=false", bind("", "/a", Access::ReadOnly));
    check("type=bind,target=/a,ro=0", bind("", "/a", Access::ReadWrite));
    check("type=bind,target=/a,readonly", bind("", "/a", Access::ReadOnly));
    check("type=bind,rw,ro,target=/a", bind("", "/a", Access::ReadOnly));
    check("type=bind,target=/a,target=/b", bind("", "/b", Access::ReadOnly));
    check("type=bind,\"source=a,b\",target=/a", bind("a,b", "/a", Access::ReadOnly));
    check("type=bind,\"source=a\"\"b\",target=/a", bind("a\"b", "/a", Access::ReadOnly));
    check("type=bind,source=,target=$T/x", bind("", "/t/x", Access::ReadOnly));
    let flag = MountFlag::parse("type=bind,from=build,target=/a").expect("a mount");
    assert_eq!((flag.from(), flag.mount_type()), (Some("build"), Some(MountType::Bind)));
    assert_eq!(MountFlag::parse("from=,target=/a").expect("a mount").from(), None);
    assert_eq!(MountFlag::parse("type=$X,target=/a").expect("a mount").mount_type(), None);
}

#[test]
fn cache_mounts() {
    let cache = |id: Option<&str>, target: &str, source: &str, sharing| Mount::Cache {
        id: id.map(str::to_owned),
        target: target.to_owned(),
        source: source.to_owned(),
        sharing,
        owner: Attributes::default(),
        access: Access::ReadWrite,
    };
    check("type=cache,target=/a", cache(None, "/a", "", Sharing::Shared));
    check("type=cache,target=a,id=b", cache(Some("b"), "a", "", Sharing::Shared));
    check("type=cache,target=/a,sharing=locked", cache(None, "/a", "", Sharing::Locked));
    check("type=cache,target=/a,sharing=Private", cache(None, "/a", "", Sharing::Private));
    check("type=cache,target=/a,from=x,source=/y", cache(None, "/a", "/y", Sharing::Shared));
    check(
        "type=cache,target=/a,mode=0700,uid=1,gid=2,ro",
        Mount::Cache {
            id: None,
            target: "/a".to_owned(),
            source: String::new(),
            sharing: Sharing::Shared,
            owner: Attributes { mode: Some(0o700), uid: Some(1), gid: Some(2) },
            access: Access::ReadOnly,
        },
    );
}

#[test]
fn tmpfs_mounts() {
    check("type=tmpfs,target=/a", Mount::Tmpfs { target: "/a".to_owned(), size: None });
    check("type=tmpfs,target=/a,size=64m", Mount::Tmpfs { target: "/a".to_owned(), size: Some(64 << 20) });
}

#[test]
fn secret_mounts() {
    let secret = |id: &str, target: Option<&str>, env: Option<&str>, required| Mount::Secret {
        id: id.to_owned(),
        target: target.map(str::to_owned),
        env: env.map(str::to_owned),
        required,
        owner: Attributes::default(),
    };
    check("type=secret,id=a", secret("a", None, None, false));
    check("type=secret,source=a", secret("a", None, None, false));
    check("type=secret,target=/x/y", secret("y", Some("/x/y"), None, false));
    check("type=secret,id=a,target=/x", secret("a", Some("/x"), None, false));
    check("type=secret,id=a,env=B", secret("a", None, Some("B"), false));
    check("type=secret,id=a,env=B,target=/x,required", secret("a", Some("/x"), Some("B"), true));
    check("type=secret,id=a,required=true", secret("a", None, None, true));
    check("type=secret,id=a,required=0", secret("a", None, None, false));
    let owner = Attributes { mode: Some(0o440), uid: Some(0), gid: Some(7) };
    check(
        "type=secret,id=a,mode=440,uid=0,gid=7",
        Mount::Secret { id: "a".to_owned(), target: None, env: None, required: false, owner },
    );
}

#[test]
fn ssh_mounts() {
    let ssh = |id: Option<&str>, target: Option<&str>, required| Mount::Ssh {
        id: id.map(str::to_owned),
        target: target.map(str::to_owned),
        required,
        owner: Attributes::default(),
    };
    check("type=ssh", ssh(None, None, false));
    check("type=ssh,id=a,target=/s,required", ssh(Some("a"), Some("/s"), true));
}

fn check_error(text: &str, message: &str) {
    let problem = MountFlag::parse(text).expect_err(text).to_string();
    assert!(problem.contains(message), "{text}: {problem}");
}

#[test]
fn bad_mounts() {
    check_error("type=bindd,target=/a", "unsupported mount type \"bindd\" (did you mean bind?)");
    check_error("type=bind,targte=/a", "unexpected key \"targte\" (did you mean target?)");
    check_error("type=bind", "needs a target");
    check_error("type=cache", "needs a target");
    check_error("type=tmpfs", "needs a target");
    check_error("type=secret", "needs an id");
    check_error("type=secret,id=a,source=b", "source or id");
    check_error("type=secret,id=a,from=b", "does not go with type=secret");
    check_error("type=secret,id=a,sharing=locked", "does not go with type=secret");
    check_error("type=bind,target=/a,sharing=locked", "does not go with type=bind");
    check_error("type=cache,target=/a,sharing=lock", "unsupported sharing \"lock\" (did you mean locked?)");
    check_error("type=bind,target=/a,mode=0755", "does not go with type=bind");
    check_error("type=tmpfs,target=/a,uid=1", "does not go with type=tmpfs");
    check_error("type=cache,target=/a,required", "\"required\" does not go with type=cache");
    check_error("type=cache,target=/a,size=1m", "\"size\" does not go with type=cache");
    check_error("type=cache,target=/a,env=A", "does not go with type=cache");
    check_error("type=tmpfs,target=/a,size=big", "invalid size");
    check_error("type=cache,target=/a,mode=9", "octal");
    check_error("type=cache,target=/a,uid=root", "not a number");
    check_error("type=cache,target=/a,uid=-1", "not a number");
    check_error("type=bind,target=/a,ro=maybe", "true or false");
    check_error("type=bind,target", "\"target\" needs a value");
    check_error("type=bind,target=/a,", "\"\" needs a value");
    check_error("type=bind,\"target=/a", "double quote");
    check_error("type=bind,target=\"/a\"", "double quote");
    check_error("type=bind,\"target=/a\"b", "double quote");
    check_error("type=bind,from=$B,target=/a", "variables are not expanded here");
    // With a variable in it, it is only known later.
    let flag = MountFlag::parse("type=$K,target=/a").expect("perhaps a mount");
    assert!(flag.resolve(&|value| Ok::<_, Problem>(value.replace("$K", "x"))).is_err());
    assert!(flag.resolve(&|value| Ok::<_, Problem>(value.replace("$K", "tmpfs"))).is_ok());
}
