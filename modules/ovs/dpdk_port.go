package ovs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// isDPDK says whether an interface is one of DPDK's, whose packets threads of
// ovs-vswitchd poll for.
func isDPDK(iface ovsdb.Row) bool {
	return slices.Contains([]string{"dpdk", "dpdkvhostuser", "dpdkvhostuserclient"}, row.String(iface, "type"))
}

// queue is a receive queue of a port and the processor of the thread that polls it.
type queue struct{ port, core string }

// queues reads what `ovs-appctl dpif-netdev/pmd-rxq-show` says; see
// ovs-vswitchd(8). Its columns have changed over the years, their names have not.
func queues(said string) []queue {
	var all []queue
	core := ""
	for line := range strings.Lines(said) {
		fields := strings.Fields(line)
		if at := slices.Index(fields, "core_id"); at >= 0 && at+1 < len(fields) && fields[0] == "pmd" {
			core = strings.TrimSuffix(fields[at+1], ":")
		}
		if len(fields) > 2 && fields[0] == "port:" && strings.HasPrefix(fields[2], "queue-id:") {
			all = append(all, queue{fields[1], core})
		}
	}
	return all
}

func readQueues(ctx context.Context, v host.View) ([]queue, error) {
	return host.Recall(v.Memo, "ovs: queues", func() ([]queue, error) {
		said, err := v.Daemons.Ask(ctx, "ovs-vswitchd", "dpif-netdev/pmd-rxq-show")
		return queues(said), err
	})
}

// unpolled says of a DPDK port that no thread looks for its packets: it has a
// number and no error, and is dead. Empty where all is well, and where nobody can
// be asked.
func unpolled(ctx context.Context, v host.View, iface ovsdb.Row) (string, error) {
	if n, _ := row.Int(iface, "ofport"); !isDPDK(iface) || n <= 0 {
		return "", nil
	}
	polls := func() (bool, error) {
		all, err := readQueues(ctx, v)
		return slices.ContainsFunc(all, func(q queue) bool { return q.port == row.String(iface, "name") }), err
	}
	found, err := polls()
	if errors.Is(err, host.ErrNotReady) || err == nil && !found {
		if err := started(ctx, v); err != nil {
			return "", err
		}
		found, err = polls()
	}
	switch {
	case errors.Is(err, host.ErrNotReady), errors.As(err, new(*host.DaemonError)):
		return "", nil
	case err != nil || found:
		return "", err
	}
	return "no thread polls its queues (ovs-appctl dpif-netdev/pmd-rxq-show): is a processor of its NUMA node in other_config:pmd-cpu-mask?", nil
}

// startTime is how long ovs-vswitchd may take to start: DPDK takes hold of its memory
// first.
const startTime = time.Minute

// started waits where ovs-vswitchd only just starts, as after a boot: until it is
// through, the database says of ports what held before.
func started(ctx context.Context, v host.View) error {
	return step.Await(ctx, startTime, func() error {
		u, err := v.Units.Unit(ctx, switchUnit)
		v.Memo.Forget()
		if err == nil && u.ActiveState == "activating" {
			return errors.New("ovs-vswitchd has been starting for a minute: look at " + switchLog)
		}
		return err
	})
}

// pollTime is how long a port that is there may wait for a thread.
const pollTime = 5 * time.Second

// polled waits for a thread to look for the packets of a new DPDK port, and says
// what is wrong where none comes.
func polled(ctx context.Context, h host.Host, iface ovsdb.Row) (said string, err error) {
	if !isDPDK(iface) {
		return "", nil
	}
	_ = step.Await(ctx, pollTime, func() error {
		h.Memo.Forget()
		if said, err = unpolled(ctx, h.View(), iface); said != "" {
			return errors.New(said)
		}
		return nil
	})
	return said, err
}

// logNames are the names that ovs-vswitchd and DPDK have for an interface: its
// own, and of a device its PCI address or the name of a virtual one.
func logNames(iface ovsdb.Row) []string {
	names := []string{row.String(iface, "name")}
	options := row.Map(iface, "options")
	device, _, _ := strings.Cut(options["dpdk-devargs"], ",")
	for _, name := range []string{device, options["vhost-server-path"]} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
