package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// The DHCP client is ISC's dhclient(8), with the files and the options that
// ifupdown gives it: so ifdown finds one that weft started, and the other way
// round. With -i it says a DUID and an IAID to the server, one from the file of
// leases and one from the Ethernet address: a device that has both of another is
// the same client and gets the same address.
const dhclient = "dhclient"

func leaseFile(device string) string { return "/var/lib/dhcp/dhclient." + device + ".leases" }
func pidFile(device string) string   { return "/run/dhclient." + device + ".pid" }

func dhclientCommand(device string) host.Command {
	return host.Command{
		Argv: []string{dhclient, "-4", "-v", "-i", "-pf", pidFile(device), "-lf", leaseFile(device),
			"-I", "-df", "/var/lib/dhcp/dhclient6." + device + ".leases", device},
		Timeout: dhcpTime,
	}
}

// dhcpTime is for a server to answer; dhclient.conf(5) has 60 s.
const dhcpTime = 90 * time.Second

// readClient fills in what there is of a DHCP client. Where a daemon configures
// the device, that is one if files say so and it has a lease.
func (d *device) readClient(ctx context.Context, v host.View, name, daemon string, files *netconf.State) error {
	if daemon != "" {
		asks, err := files.Family.Leases(ctx, v, name)
		d.Client = asks && len(d.Leased) > 0
		return err
	}
	_, err := v.Files.Stat(ctx, leaseFile(name))
	if d.LeaseFile = err == nil; err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err := v.Files.Read(ctx, pidFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return nil // what a crash left
	}
	program, err := v.Kernel.Get(ctx, fmt.Sprintf("/proc/%d/comm", pid))
	if d.Client = err == nil && strings.TrimSpace(program) == dhclient; errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// canLease says why there can be no DHCP client.
func canLease(ctx context.Context, v host.View) error {
	_, err := v.Files.Stat(ctx, "/sbin/dhclient")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dhcp needs isc-dhcp-client, and /sbin/dhclient is not there: put a step package \"isc-dhcp-client\" before it: %w", host.ErrNotReady)
	}
	return err
}

// stopClient ends a DHCP client. Its lease is not released, and its address stays
// until somebody takes it away.
func stopClient(ctx context.Context, h host.Host, device string) error {
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{dhclient, "-4", "-x", "-pf", pidFile(device), device}})
	return err
}

// startClient starts a client that does not run, waits for an address, and tells
// the neighbours of it.
func startClient(ctx context.Context, h host.Host, device string, runs bool) error {
	if !runs {
		if _, err := h.Commands.Run(ctx, dhclientCommand(device)); err != nil {
			return err
		}
	}
	var leased []netip.Prefix
	err := step.Await(ctx, 5*time.Second, func() error {
		all, err := devices(ctx, h.View())
		if err != nil {
			return err
		}
		if leased = all[device].Leased; len(leased) == 0 {
			return fmt.Errorf("no DHCP server has given %s an address: look for dhclient in the journal", device)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var announced []netip.Addr
	for _, a := range leased {
		announced = append(announced, a.Addr())
	}
	return h.Links.Set(ctx, "", device, host.LinkChange{Announce: announced})
}

var leaseInterface = regexp.MustCompile(`(?m)^(\s*interface )"[^"\n]*";`)

// takeLease gives a device what the client of another knows: the DUID and the
// address to ask for.
func takeLease(ctx context.Context, h host.Host, from, to string) error {
	b, err := h.Files.Read(ctx, leaseFile(from))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text := leaseInterface.ReplaceAllString(string(b), `${1}"`+to+`";`)
	return h.Files.Write(ctx, leaseFile(to), []byte(text), host.Attributes{})
}

// stopClients ends the clients that are not to run.
func (s NetAddressSpec) stopClients(ctx context.Context, h host.Host, own, from *device) error {
	if err := errors.Join(own.readClient(ctx, h.View(), s.Name, "", nil), from.readClient(ctx, h.View(), s.From, "", nil)); err != nil {
		return err
	}
	if from.Client && s.Held != nil && !s.Held.Client {
		if err := stopClient(ctx, h, s.From); err != nil {
			return err
		}
	}
	if own.Client && !s.DHCP.Or(true) {
		return stopClient(ctx, h, s.Name)
	}
	return nil
}

// startClients starts those that are, once the other device has nothing left.
// Own and from are what they were before.
func (s NetAddressSpec) startClients(ctx context.Context, h host.Host, own, from device, fromThere bool) error {
	undo := s.Kernel != nil
	if undo && s.DHCP.Managed() && !s.Kernel.LeaseFile && own.LeaseFile {
		if err := h.Files.Remove(ctx, leaseFile(s.Name)); err != nil {
			return err
		}
	}
	if s.DHCP.Or(false) && (!own.Client || len(own.Leased) == 0) {
		if !undo && !own.Client && s.From != "" {
			if err := takeLease(ctx, h, s.From, s.Name); err != nil {
				return err
			}
		}
		if err := startClient(ctx, h, s.Name, own.Client); err != nil {
			return err
		}
	}
	if fromThere && s.Held != nil && s.Held.Client && !from.Client {
		return startClient(ctx, h, s.From, false)
	}
	return nil
}
