package push

import (
	"fmt"
	"path"
	"strings"
)

// Markers that our scripts print or read, each alone on a line.
const (
	markRoot      = "weft-root"      // sudo took the password; stdin is the script's from here
	markProbe     = "weft-probe"     // what follows is the probe
	markProbed    = "weft-probed"    // and here it ends
	markBody      = "weft-body"      // the bytes of the runner follow
	markInstalled = "weft-installed" // the runner is in its place
)

// shell is a command line that runs a script with /bin/sh under any login
// shell. The script is one line without single quotes, backslashes and
// exclamation marks, which the shells read differently within quotes.
func shell(script string, args ...string) string {
	line := "/bin/sh -c " + quoted(script)
	for _, a := range args {
		line += " " + quoted(a)
	}
	return line
}

func quoted(s string) string {
	if strings.ContainsAny(s, "'\\!\n\x00") {
		panic("push: a script that login shells read differently: " + s)
	}
	return "'" + s + "'"
}

// The sudo command lines; LC_ALL so that its words are those that classify
// knows. -k keeps it from skipping the password where a ticket is still valid,
// so that the line with it is read by nobody else.
const (
	sudoPlain    = "env LC_ALL=C sudo -n -- "
	sudoPassword = "env LC_ALL=C sudo -S -k -p \"\" -- "
)

func runnerPath(digest string) string { return Root + "/" + digest + "/weft-runner" }

func stagedName(nonce string) string { return ".push." + nonce }

// ownedScript ends a script of root's where a directory of the runners is not
// root's: whoever owns it decides what root would run. It starts no program, for
// every session begins with it. Root is known by / being its own.
func ownedScript(digest string) string {
	return fmt.Sprintf("test -O / && for o in %s %s %s/%s; do "+
		"if test -e $o; then test -O $o || { echo weft: $o does not belong to root >&2; exit 1; }; fi; done; ",
		path.Dir(Root), Root, Root, digest)
}

// closedScript is ownedScript's sequel for an installation: nobody else may
// write there either.
func closedScript(digest string) string {
	return fmt.Sprintf("w=$(find %s %s %s/%s -prune -type d -perm -020 -o -prune -type d -perm -002); "+
		"test -z \"$w\" || { echo weft: $w can be written by others than root >&2; exit 1; }; ",
		path.Dir(Root), Root, Root, digest)
}

// serveScript runs whichever runner is there. Which one a host can run is not
// known before it is asked, and only one is ever pushed to it.
func serveScript(images Images) string {
	var b strings.Builder
	b.WriteString("LC_ALL=C; export LC_ALL; ")
	last := len(images) - 1
	for _, i := range images {
		b.WriteString(ownedScript(i.Digest))
	}
	for _, i := range images[:last] {
		fmt.Fprintf(&b, "test -f %[1]s && exec %[1]s serve; ", runnerPath(i.Digest))
	}
	fmt.Fprintf(&b, "exec %s serve", runnerPath(images[last].Digest))
	return b.String()
}

// probeScript tells the operating system, the machine, who one is, and the
// digests of the runners that are there.
func probeScript(images Images) string {
	var b strings.Builder
	fmt.Fprintf(&b, "LC_ALL=C; export LC_ALL; echo; echo %s; uname -s; uname -m; id -u; ", markProbe)
	for _, i := range images {
		fmt.Fprintf(&b, "echo %s; test -f %[2]s && sha256sum < %[2]s; ", i.Digest, runnerPath(i.Digest))
	}
	b.WriteString("echo " + markProbed)
	return b.String()
}

// installPrologue sets the names: d the directory, t the temporary file, which
// goes whatever happens, and the directory with it if it is empty. Leftovers of
// pushes that were cut go after an hour.
func installPrologue(digest, nonce string) string {
	return fmt.Sprintf("LC_ALL=C; export LC_ALL; umask 077; d=%s/%s; t=$d/%s; trap \"rm -f $t; rmdir $d 2>/dev/null\" EXIT; "+
		ownedScript(digest)+"mkdir -p $d || exit 1; "+closedScript(digest)+"find %s -name \".push.*\" -mmin +60 -exec rm -f {} + 2>/dev/null; ",
		Root, digest, stagedName(nonce), Root)
}

// installEpilogue checks the digest of the temporary file and gives it its
// name. An old sync(1) takes no names and syncs everything instead.
func installEpilogue(digest string) string {
	return fmt.Sprintf("s=$(sha256sum < $t) || exit 1; "+
		"test \"${s%%%% *}\" = %s || { echo weft: the digest differs >&2; exit 1; }; "+
		"chmod 700 $t && { sync $t 2>/dev/null; mv -f $t $d/weft-runner; } && { sync $d 2>/dev/null; echo; echo %s; }",
		digest, markInstalled)
}

// installStdin installs what comes after a marker on standard input. What is
// before it is a password that sudo did not want.
func installStdin(digest, nonce string) string {
	return installPrologue(digest, nonce) +
		fmt.Sprintf("while IFS= read -r l; do test \"$l\" = %s && break; done; ", markBody) +
		"cat > $t || exit 1; " + installEpilogue(digest)
}

// installStaged installs the temporary file that SFTP put beside the name.
func installStaged(digest, nonce string) string {
	return installPrologue(digest, nonce) + "test -f $t || exit 1; " + installEpilogue(digest)
}

// cacheDir is where a user who is not root stages a runner, below the home
// directory, which is where SFTP begins.
const cacheDir = ".cache/weft/bin"

// feedScript has the user's own shell read the staged file and feed it to the
// script in $1, which root runs. Its own standard input comes first: the
// password.
func feedScript(sudo, nonce string) string {
	return fmt.Sprintf("f=$HOME/%s/%s; { cat; echo %s; cat \"$f\"; } | %s/bin/sh -c \"$1\"; s=$?; rm -f \"$f\"; exit $s",
		cacheDir, stagedName(nonce), markBody, sudo)
}

func removeScript(digest string) string {
	return fmt.Sprintf("rm -rf %s/%s", Root, digest)
}
