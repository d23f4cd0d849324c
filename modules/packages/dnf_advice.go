package packages

import (
	"errors"
	"fmt"
	"strings"

	"weft/engine/host"
)

// advice is what to do about a sign in what rpm, dnf or yum said.
var advice = [...]struct{ sign, cause string }{
	{"Unknown repo:", "enable_repositories names a repository that the host does not have: a package_repository brings it"},
	{"repository not found", "enable_repositories names a repository that the host does not have: a package_repository brings it"},
	{"Failed to download metadata for repo", "a repository cannot be reached or is not there: look at its baseurl, at the network, and at the name server"},
	{"Cannot retrieve repository metadata", "a repository cannot be reached or is not there: look at its baseurl, at the network, and at the name server"},
	{"Cannot find a valid baseurl", "a repository cannot be reached or is not there: look at its baseurl, at the network, and at the name server"},
	{"There are no enabled repositories", "no repository is enabled: a package_repository brings one"},
	{"do not have any GPG public keys", "rpm trusts no key at all: give the package_repository its key, or say gpgcheck = false"},
	{"GPG check FAILED", "a package is not signed by a key that rpm trusts: give its package_repository the key"},
	{"is not signed", "a package is not signed: sign it, or say gpgcheck = false in its package_repository"},
	{"Public key for", "a package is signed by a key that rpm does not know: give its package_repository the key"},
	{"GPG key retrieval failed", "the key that the repository names is not there: give its package_repository the key"},
	{"exclude filtering", "a lock of versionlock or an exclude stands against it: look with dnf versionlock list"},
	{"Unable to find a match", "no repository that is enabled has it, or not in that version"},
	{"No match for argument", "no repository that is enabled has it, or not in that version"},
	{"Module or Group", "no repository that is enabled has such a group"},
	{"more space needed on", "the disk is full"},
	{"No space left on device", "the disk is full"},
	{"nothing provides", "what it needs is in no repository that is enabled"},
	{"conflicting requests", "what it needs is in no repository that is enabled, or what is there stands against it"},
	{"is intended to be used", "rpm's database is at another place"},
	{"transaction lock", "another rpm is at work: look with fuser /var/lib/rpm/.rpm.lock, and try again"},
	{"cannot open Packages", "rpm's database is damaged: rpm --rebuilddb, after a copy of /var/lib/rpm"},
	{"rpmdb open failed", "rpm's database is damaged: rpm --rebuilddb, after a copy of /var/lib/rpm"},
	{"DB_RUNRECOVERY", "rpm's database is damaged: rpm --rebuilddb, after a copy of /var/lib/rpm"},
	{"protected packages", "the host could not live without it (protected.d of dnf.conf(5))"},
}

// explained adds what a failure means. What rpm and dnf wrote last is often not what
// went wrong, so the line with the sign is shown too.
func explained(err error) error {
	var exit *host.ExitError
	text := ""
	if errors.As(err, &exit) {
		text = said(exit.Result)
	} else if err != nil {
		text = err.Error()
	}
	for _, a := range advice {
		for line := range strings.Lines(text) {
			if !strings.Contains(line, a.sign) {
				continue
			}
			line = strings.TrimSpace(line)
			if strings.Contains(err.Error(), line) {
				return fmt.Errorf("%w (%s)", err, a.cause)
			}
			return fmt.Errorf("%w: %.200s (%s)", err, line, a.cause)
		}
	}
	return err
}
