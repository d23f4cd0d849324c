package onhost

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"weft/engine/host"
)

// A Way is the two ends of the connection that a session came by, as sshd(8)
// tells them in SSH_CONNECTION.
type Way struct {
	Client netip.Addr // whoever connected: the controller, or the last jump host
	Server netip.Addr // the address of this host that was reached
}

// sshWay finds the way of this process: SSH_CONNECTION of itself, or, where sudo
// took it away, of a process above it.
func sshWay() (Way, error) {
	for pid := os.Getpid(); pid > 1; {
		environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			return Way{}, err
		}
		for variable := range strings.SplitSeq(string(environ), "\x00") {
			if value, ok := strings.CutPrefix(variable, "SSH_CONNECTION="); ok {
				return parseWay(value)
			}
		}
		if pid, err = parentOf(pid); err != nil {
			return Way{}, err
		}
	}
	return Way{}, errors.New("it did not come by SSH")
}

// parseWay reads "CLIENT PORT SERVER PORT". Addresses may have a zone.
func parseWay(value string) (Way, error) {
	words := strings.Fields(value)
	if len(words) != 4 {
		return Way{}, errors.New("SSH_CONNECTION is not four words")
	}
	client, err := netip.ParseAddr(words[0])
	if err != nil {
		return Way{}, err
	}
	server, err := netip.ParseAddr(words[2])
	return Way{plain(client), plain(server)}, err
}

// plain is an address as links and routes have it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// parentOf reads proc_pid_status(5).
func parentOf(pid int) (int, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, errors.New("a process without a parent")
}

// carriers are the links that carry this session: the one that has its address,
// the one that its answers leave by, and what these stand on or belong to. There
// are none where the session did not come over a network.
func (s *session) carriers(ctx context.Context) (map[string]bool, error) {
	way, err := s.Way()
	if err != nil || way.Client.IsLoopback() {
		return nil, nil //nolint:nilerr // a session that did not come by SSH cannot be cut
	}
	links, err := s.Host.Links.List(ctx, "")
	if err != nil {
		return nil, err
	}
	routes, err := s.Host.Links.Routes(ctx, "")
	if err != nil {
		return nil, err
	}
	carries := map[string]bool{}
	for _, l := range links {
		for _, a := range l.Addresses {
			if a.Addr() == way.Server {
				carries[l.Name] = true
			}
		}
	}
	if back := routeTo(way.Client, links, routes); back != "" {
		carries[back] = true
	}
	for grown := true; grown; {
		grown = false
		for _, l := range links {
			if !carries[l.Name] && (l.Master != "" && carries[l.Master] || stoodOn(l.Name, links, carries)) {
				carries[l.Name], grown = true, true
			}
		}
	}
	return carries, nil
}

// stoodOn says whether a link that carries stands on this one.
func stoodOn(name string, links []host.Link, carries map[string]bool) bool {
	for _, l := range links {
		if l.Lower == name && carries[l.Name] {
			return true
		}
	}
	return false
}

// routeTo is the link that packets to an address leave by: that of the longest
// prefix, and of these the one with the smallest metric.
func routeTo(a netip.Addr, links []host.Link, routes []host.Route) string {
	best, metric, link := -1, 0, ""
	consider := func(p netip.Prefix, m int, name string) {
		if p.Contains(a) && (p.Bits() > best || p.Bits() == best && m < metric) {
			best, metric, link = p.Bits(), m, name
		}
	}
	for _, r := range routes {
		consider(r.Destination, r.Metric, r.Link)
	}
	for _, l := range links {
		for _, p := range l.Addresses {
			consider(p.Masked(), 0, l.Name)
		}
	}
	return link
}
