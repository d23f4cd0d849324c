package acceptance

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const ovnTLS = "playbooks/ovn-tls.hcl"

// TestOVNTLS is OVN's southbound database with TLS alone: keys made, handed out, renewed,
// lost.
func TestOVNTLS(t *testing.T) {
	s := scenario{
		inventory: "inventories/ovn-tls.hcl", hosts: []string{"central1", "compute1"}, playbooks: []string{ovnTLS}, works: tlsWorks,
		drifts: []drift{
			{"a key that all may read", "compute1", "chmod 0644 /etc/ovn-tls/host.key", 0},
			{"another certificate", "compute1", "cp /etc/ovn-tls/authority.crt /etc/ovn-tls/host.crt", 0},
			{"no certificate", "central1", "rm /etc/ovn-tls/host.crt", 0},
			{"another authority is trusted", "compute1", "echo > /etc/ovn-tls/authority.crt", 0},
			{"the database does not know its key", "central1", "ovn-sbctl del-ssl", 0},
			{"Open vSwitch does not know its key", "compute1", "ovs-vsctl del-ssl", 0},
			{"whoever shows an authority is believed", "compute1", "ovs-vsctl set ssl . bootstrap_ca_cert=true", 0},
			{"no listener", "central1", "ovn-sbctl del-connection", 0},
			{"no rules for chassis", "central1", "ovn-sbctl set connection . 'role=\"\"'", 0},
			// A new key: the authority issues, the host shows.
			{"a key is lost", "compute1", "rm /etc/ovn-tls/host.key", 3},
			{"an issued certificate is lost", "central1", "rm /etc/ovn-authority/compute1.crt", 2},
			// The same key: those who trust the old one trust the new one.
			{"the authority's certificate is lost", "central1", "rm /etc/ovn-authority/authority.crt", 3},
			// Another authority: it issues all anew, and both hosts show and trust that.
			{"the authority's key is lost", "central1", "rm /etc/ovn-authority/authority.key", 6},
		},
	}
	s.run(t)
}

// tlsClient is a program that asks the southbound database which databases it has.
func tlsClient(key, certificate string) string {
	return fmt.Sprintf("timeout 5 ovsdb-client -p %s -c %s -C /etc/ovn-tls/authority.crt list-dbs ssl:192.0.2.2:6642 2>&1; echo exit $?", key, certificate)
}

func tlsWorks(t *testing.T, s scenario) {
	t.Helper()
	const mine, stranger = "/etc/ovn-tls/host", "/root/stranger"
	for what, c := range map[string]struct{ command, want string }{
		"who has a certificate": {tlsClient(mine+".key", mine+".crt"), "OVN_Southbound"},
		"who speaks no TLS":     {"timeout 5 ovsdb-client list-dbs tcp:192.0.2.2:6642 2>&1; echo exit $?", "exit 1"},
		"who shows nothing": {
			"{ sleep 1; } | timeout 5 openssl s_client -quiet -connect 192.0.2.2:6642 -CAfile /etc/ovn-tls/authority.crt 2>&1; echo exit $?", "exit 1",
		},
		"who shows what nobody issued": {
			"openssl req -x509 -newkey ed25519 -nodes -keyout " + stranger + ".key -subj /CN=compute1 -out " + stranger + ".crt 2>/dev/null; " + tlsClient(stranger+".key", stranger+".crt"), "exit 1",
		},
		"a chassis that makes another": {
			"ovn-sbctl --timeout=5 --db=ssl:192.0.2.2:6642 -p " + mine + ".key -c " + mine + ".crt -C /etc/ovn-tls/authority.crt create chassis name=x encaps=@e -- --id=@e create encap type=geneve ip=192.0.2.9 2>&1; echo exit $?",
			"RBAC rules",
		},
	} {
		if said := s.on(t, "compute1", c.command); !strings.Contains(said, c.want) {
			t.Errorf("%s hears %q, not %q", what, said, c.want)
		}
	}
	s.on(t, "compute1", "rm "+stranger+".*")
	renewed(t, s)
}

// renewed has both certificates renewed, under a connection that stands.
func renewed(t *testing.T, s scenario) {
	t.Helper()
	const connection = "ss -Htn state established dst 192.0.2.2:6642 | awk '{print $3, $4}'"
	const shown = "echo | openssl s_client -connect 192.0.2.2:6642 -cert /etc/ovn-tls/host.crt -key /etc/ovn-tls/host.key 2>/dev/null | openssl x509 -noout -enddate"
	before, hours := s.on(t, "compute1", connection), s.on(t, "compute1",
		`echo $((($(date -d "$(openssl x509 -noout -enddate -in /etc/ovn-tls/host.crt | cut -d= -f2)" +%s) - $(date +%s)) / 3600))`)
	left, err := strconv.Atoi(strings.TrimSpace(hours))
	if err != nil || left < 1 || strings.TrimSpace(before) == "" {
		t.Fatalf("%d hours are left, the connection is %q: %v", left, before, err)
	}
	first := s.on(t, "compute1", shown)
	// What is left is the last third of a longer life.
	if steps := s.apply(t, ovnTLS, "-e", fmt.Sprintf("lifetime=%dh", 3*left+30)); len(steps) != 3 {
		t.Errorf("renewed by %q", steps)
	}
	if now := s.on(t, "compute1", shown); now == first || !strings.Contains(now, "notAfter") {
		t.Errorf("the database shows the certificate that %q, and showed %q before", now, first)
	}
	if after := s.on(t, "compute1", connection); after != before {
		t.Errorf("the connection was %q, and is %q", before, after)
	}
}
