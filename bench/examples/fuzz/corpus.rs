//! Where mutation begins: each form of the languages once.

pub const DOCKERFILES: &[&str] = &[
    "FROM a\nRUN b\n",
    "# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=all;error=true\nARG V=1\nFROM --platform=$BUILDPLATFORM a:$V AS b\n",
    "FROM a AS x\nARG V=1 W\nENV A=b C=\"d e\" F='g h' I=j\\ k\nENV L m n\nFROM x\nCOPY --from=x --chown=u:g --chmod=u=rwX,go=rX a b c/\n",
    "FROM a\nRUN <<EOF\necho $A\nEOF\nRUN cat <<A <<-'B' 3<<\"C D\"\na\nA\n\tb\n\tB\nc\nC D\n",
    "FROM a\nCOPY <<-E <<F /d/\n\t#!/bin/sh\n\tE\n$x\nF\nADD --checksum=sha256:0 --keep-git-dir --unpack=false https://h/x.git#r:s /y\n",
    "FROM a\nRUN --mount=type=cache,id=c,target=/c,sharing=locked,mode=0700,uid=1,gid=2 --mount=type=secret,id=s,env=S,required --mount=type=ssh --mount=type=tmpfs,target=/t,size=1m --mount=from=b,target=/b,rw --network=none --security=insecure x\n",
    "FROM a\nHEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=1h --start-interval=1ms --retries=3 CMD [\"a\", \"b\"]\nHEALTHCHECK NONE\n",
    "FROM a\nONBUILD RUN <<E\nx\nE\nONBUILD COPY --from=b c d\nFROM a AS b\nONBUILD USER u\nFROM b\n",
    "FROM a\nRUN x \\\n # c\n\n && y \\\n  && z\nCMD [\"a\\u0041\\n\", \"b\"]\nENTRYPOINT exec $x\nSHELL [\"/bin/bash\", \"-c\"]\n",
    "FROM a\nLABEL \"a b\"=\"c\" d=e\nEXPOSE 80 90/udp 100-200/tcp\nVOLUME /a /b\nVOLUME [\"/c d\"]\nUSER u:g\nWORKDIR /w\nSTOPSIGNAL SIGTERM\nMAINTAINER m <a@b>\n",
    "FROM a\nCOPY --link --parents --exclude=*.txt --exclude='a b' ./a/./b [[]c* \"d e\" /f\nCOPY [\"a b\", \"<<c\", \"/d\"]\n",
    "\u{feff}from a\r\nrun b\r\ncopy c d\r\n",
];

pub const WORDS: &[&str] = &[
    "value\n$a${b}c",
    "/a/b/c.tar.gz\n${a#*/}${a##*/}${a%.*}${a%%.*}",
    "/a/b\n${a/\\//:}${a//\\//\\}}${a/?/x}",
    "\n${a:-w}${a-w}${a:+w}${a+w}${c:-${d:-e}}",
    "x\n${a:?m}${c?m}",
    "x y\n'$a'\"$a\"\\$a $a",
    "x\n$1$@$#${*}$$",
    "x\n\"a\\\"b\\\\c\"'d'e\\ f",
    "x\n#!/bin/sh\necho \"it's $a\" \\$b `c` ${a}\n",
    "한국어\n${a#?}${a%?}`$a",
    "x\n${a=b}${a^}${#a}${!a}",
];

pub const IGNORE_FILES: &[&str] = &[
    "a/b/c\n*\n!a/b\n",
    "x/a.go\n# c\n**/*.go\n!**/keep\n/a/\n",
    "node_modules/x/y\nnode_modules\n!node_modules/x\nnode_modules/x/y*\n",
    "a/x/b\na/**/b\n**a\na**\n**/a/*.b\n",
    "abc\n[a-c]b?\n[^x]\\*\n[[]\n",
    "a\n\u{feff}  a  \r\n./b\n../c\nd/../e\n!  f\n",
    "README-secret.md\n*.md\n!README*.md\nREADME-secret.md\n",
    "é/ü\né/*\n!é/ü\n",
];
