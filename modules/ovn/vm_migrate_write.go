package ovn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

const (
	// requestedChassis is the key in options of a logical switch port, ovn-nb(5): one
	// chassis, or several where the guest is between two.
	requestedChassis = "requested-chassis"
	// heard is how long a chassis may take until it has done what the northbound
	// database asks for.
	heard = 30 * time.Second
	// calledOff is how long a migration may take to end that was called off.
	calledOff = time.Minute
)

// Write implements [step.Resource].
func (m migrations) Write(ctx context.Context, h host.Host, have, want migrationState) error {
	want = want.wanted(have)
	seen, err := settled(ctx, h.View(), want)
	if err != nil {
		return err
	}
	autostart := want.Autostart.Or(have.Autostart.Or(false))
	if seen.at != want.At {
		have.At = seen.at
		if err := m.move(ctx, h, have, want); err != nil {
			return err
		}
		have.Autostart = step.Is(false) // libvirt leaves that behind
	}
	if err := request(ctx, h, want.Ports); err != nil {
		return err
	}
	if autostart != have.Autostart.Or(autostart) {
		words := []string{"autostart", "--domain", want.Domain}
		if !autostart {
			words = append(words, "--disable")
		}
		if _, err := h.Commands.Run(ctx, virsh(want.How.Hypervisors[want.At].URI, words...)); err != nil {
			return err
		}
	}
	return arrived(ctx, h.View(), want)
}

// arrived waits until the guest's ports are bound where it is, as far as they may.
func arrived(ctx context.Context, v host.View, s migrationState) error {
	chassis := s.How.chassis(s.At)
	for _, p := range slices.Sorted(maps.Keys(s.Ports)) {
		if requested, set := s.Ports[p].Get(); set && !slices.Contains(strings.Split(requested, ","), chassis) {
			continue // an undo that brings back what another hand asked for
		}
		probe := ProbePortSpec{Port: p, Chassis: step.Is(chassis), Up: true, Timeout: heard}
		if _, err := probe.Probe(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// move has the guest run where it is wanted, or leaves it and its ports where they are.
func (m migrations) move(ctx context.Context, h host.Host, have, want migrationState) error {
	err := m.announce(ctx, h, have, want)
	if err == nil {
		journey := virsh(want.How.Hypervisors[have.At].URI, migrateWords(have, want)...)
		journey.Timeout = want.How.Timeout
		_, err = h.Commands.Run(ctx, journey)
	}
	if err != nil {
		return stay(ctx, h, have, want, err)
	}
	return nil
}

// announce tells OVN of both places, and waits until both know.
func (m migrations) announce(ctx context.Context, h host.Host, have, want migrationState) error {
	if len(have.Ports) == 0 {
		return nil
	}
	tx, err := requests(ctx, h.View(), want.How.bound(have.Ports, have.At, want.At))
	if err != nil {
		return err
	}
	// Even where a step that was stopped had asked already: nobody knows for which generation.
	if _, err := commit(ctx, h, tx); err != nil {
		return err
	}
	return step.Await(ctx, heard, func() error {
		for _, at := range []string{have.At, want.At} {
			chassis, err := chassisNamed(ctx, h.View(), want.How.chassis(at))
			if err == nil {
				_, err = reached(ctx, h.View(), chassis)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// migrateWords are the arguments of virsh migrate. A domain without a definition has none to take along.
func migrateWords(have, want migrationState) []string {
	to := want.How.Hypervisors[want.At]
	words := []string{"migrate", "--live", "--p2p", "--abort-on-error", "--domain", want.Domain, "--desturi", to.URI}
	if have.Found.Persistent {
		words = append(words, "--persistent", "--undefinesource")
	}
	if address, given := to.Address.Get(); given {
		words = append(words, "--migrateuri", "tcp://"+bracketed(address))
	}
	if want.How.Encryption == "tls" {
		words = append(words, "--tls")
	}
	return words
}

// bracketed is an address as a URI has it, RFC 3986 section 3.2.2.
func bracketed(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

// stay ends a migration that failed: what is still under way is called off, and the ports are bound where the guest is then.
// A guest that arrived all the same is no failure.
func stay(ctx context.Context, h host.Host, have, want migrationState, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), calledOff+heard)
	defer cancel()
	if seen, err := look(ctx, h.View(), want); err != nil || seen.crossing {
		// Its end is what is looked at next; one that is over already cannot be called off.
		_, _ = h.Commands.Run(ctx, virsh(want.How.Hypervisors[have.At].URI, "domjobabort", "--domain", want.Domain))
	}
	want.How.Timeout = calledOff
	seen, err := settled(ctx, h.View(), want)
	switch {
	case err != nil:
		return fmt.Errorf("migrate from %s to %s: %w; where it is now is not known, so its ports are bound at both: %w", have.At, want.At, failed, err)
	case seen.at == want.At:
		return nil
	}
	if err := request(ctx, h, before(have)); err != nil {
		failed = errors.Join(failed, err)
	}
	return fmt.Errorf("migrate from %s to %s: %w; the guest goes on at %s, where its ports are bound", have.At, want.At, failed, seen.at)
}

// before is what the ports asked for, unless a step that was stopped had left both places there.
func before(have migrationState) keys {
	out := have.How.bound(have.Ports, have.At)
	for p, a := range have.Ports {
		if !strings.Contains(a.Or(""), ",") {
			out[p] = a
		}
	}
	return out
}

// request sets the requested-chassis of ports, and does nothing where all have it.
func request(ctx context.Context, h host.Host, ports keys) error {
	tx, err := requests(ctx, h.View(), ports)
	if err != nil || tx.Empty() {
		return err
	}
	_, err = commit(ctx, h, tx)
	return err
}

// requests is the transaction that sets the requested-chassis of ports.
func requests(ctx context.Context, v host.View, ports keys) (*row.Tx, error) {
	tx := new(row.Tx)
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		wanted := keys{requestedChassis: ports[name]}
		found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select(portTable, []string{"_uuid", "options"}, row.Is("name", name)))
		if err != nil {
			return nil, err
		}
		for _, p := range found[0] {
			if change := changedKeys(keysLike(wanted, row.Map(p, "options")), wanted); len(change) > 0 {
				tx.Mutate(portTable, row.ID(p), row.SetKeys("options", change)...)
			}
		}
	}
	return tx, nil
}
