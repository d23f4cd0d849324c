// Package ssh connects the controller to hosts the way their users already
// connect to them: with the keys, the agent, the ssh_config and the
// known_hosts that OpenSSH uses, and stricter where weft runs unattended.
//
//	dialer, err := ssh.NewDialer(ssh.Options{})
//	defer dialer.Close()
//	client, err := dialer.Dial(ctx, ssh.Target{Name: "compute1"})
//	defer client.Close()
//	process, err := client.Start(ctx, "uname -m")
//
// A [Dialer] is for one run: it reads configuration, keys and known_hosts once
// and shares connections to jump hosts. Every refusal is an [*Error] with a
// [Kind] and a next step for the operator.
//
// What differs from OpenSSH's ssh(1), each time to the safe side:
//   - A host key is never asked about. An unknown one is refused with its
//     fingerprint, or with StrictHostKeyChecking accept-new recorded. "no" and
//     "off" mean accept-new; a changed key is always refused.
//   - Host patterns of ssh_config match the inventory's name of a host and its
//     address there.
//   - Match knows all, host, originalhost, user and localuser. A block with any
//     other criterion (exec, canonical, final, tagged, …) is passed over and
//     [Dialer.Warnings] says so. Nothing in a configuration file is ever run:
//     ProxyCommand is refused, ProxyJump does its work.
//   - Forwardings, ciphers, multiplexing and the like are not read; they do not
//     decide who answers. Security keys (FIDO) work through an agent only.
package ssh

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// A Target is a host as an inventory names it. What is zero is taken from
// ssh_config(5), then from its defaults.
type Target struct {
	Name    string // the inventory's name; what Host patterns match
	Address string // a name or an IP address, "fe80::1%eth0" too; overrides HostName
	Port    int
	User    string
	// IdentityFiles are paths of private keys, tried before those of the
	// configuration.
	IdentityFiles []string
}

// Options are for a whole run.
type Options struct {
	// ConfigFiles are ssh_config files read before the user's and the
	// system's; the first value wins. They must exist.
	ConfigFiles []string
	// UserConfig and SystemConfig replace ~/.ssh/config and
	// /etc/ssh/ssh_config; "none" leaves one out. They may be missing.
	UserConfig, SystemConfig string
	// HostKeys overrides StrictHostKeyChecking where it is set.
	HostKeys HostKeyPolicy
	// Password answers password and one-question keyboard-interactive
	// logins; nil offers neither.
	Password Secret
	// Ask asks a person: for the passphrase of a key, or what a
	// keyboard-interactive login wants to know. With nil nobody is asked,
	// and encrypted keys are passed over. One question is asked at a time.
	Ask Ask
	// ConnectTimeout is how long one host may take to answer and to show
	// its key. Zero is the configuration's, or 10 s.
	ConnectTimeout time.Duration
}

// HostKeyPolicy says what becomes of a host key that is not known. A key that
// changed is refused under every policy.
type HostKeyPolicy string

// The policies.
const (
	AsConfigured HostKeyPolicy = ""           // StrictHostKeyChecking of the configuration; Strict by default
	Strict       HostKeyPolicy = "yes"        // refuse
	AcceptNew    HostKeyPolicy = "accept-new" // record it in the user's known_hosts
)

// endpoint is "host:port" as net wants it, with brackets around IPv6.
func endpoint(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// parseHop reads one hop of ProxyJump: [user@]host[:port] or
// ssh://[user@]host[:port], IPv6 addresses in brackets.
func parseHop(hop string) (Target, error) {
	t := Target{}
	rest := strings.TrimSuffix(strings.TrimPrefix(hop, "ssh://"), "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		t.User, rest = rest[:i], rest[i+1:]
	}
	t.Name = rest
	if host, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return t, fmt.Errorf("ProxyJump %q: %q is not a port", hop, port)
		}
		t.Name, t.Port = host, n
	} else {
		t.Name = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	}
	if t.Name == "" {
		return t, fmt.Errorf("ProxyJump %q names no host", hop)
	}
	return t, nil
}
