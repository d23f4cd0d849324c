package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/control/trace"
	"weft/engine/control/view"
	"weft/engine/wire"
)

func traceCommand(s streams) *cobra.Command {
	var f flags
	var udp, tcp uint16
	var o trace.Options
	cmd := &cobra.Command{
		Use:   "trace FROM TO -i INVENTORY",
		Short: "Follow a packet between two guests, to the hop where it dies",
		Long: `Trace asks the hosts what OVN and Open vSwitch would do with a packet, and shows its
way hop by hop: the guest's port, the logical switches and routers, OpenFlow of each
chassis and the tunnels between them, the other guest's port. Where it dies, the last
line names the hop: port security, an ACL, a router without a route, a tunnel that is
down, a chassis whose flows are not all there.

FROM and TO are logical ports, addresses, or guests as Open vSwitch knows them: fake
VMs, or any interface with an iface-id, by its name or as HOST/NAME. TO may be an
address outside too. The packet is an ICMP echo request; --udp and --tcp take a port.

Ports say how many packets came in and went out since they were made. A datapath in
userspace counts twice what it puts into a tunnel.

It changes nothing and sends nothing. With --ping it sends a few packets from the
namespace of FROM too, and compares what the ports on the way count.

Exit status: 0 where the packet arrives, 7 where it does not, 4 where a host was not
reached.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.From, o.To, o.Protocol = args[0], args[1], "icmp"
			switch {
			case cmd.Flags().Changed("udp"):
				o.Protocol, o.Port = "udp", int(udp)
			case cmd.Flags().Changed("tcp"):
				o.Protocol, o.Port = "tcp", int(tcp)
			}
			if o.Ping && o.Protocol != "icmp" {
				return errors.New("--ping sends ICMP: leave out --udp and --tcp")
			}
			return follow(cmd.Context(), s, &f, o)
		},
	}
	f.visitor(cmd.Flags())
	cmd.Flags().Uint16Var(&udp, "udp", 0, "a UDP packet to this `port`")
	cmd.Flags().Uint16Var(&tcp, "tcp", 0, "the first packet of a TCP connection to this `port`")
	cmd.Flags().BoolVar(&o.Ping, "ping", false, "send packets too, and see how far they come")
	cmd.MarkFlagsMutuallyExclusive("udp", "tcp")
	return cmd
}

// follow traces a packet over the hosts in scope.
func follow(ctx context.Context, s streams, f *flags, o trace.Options) error {
	q, err := newQuiet(s, f)
	if err != nil {
		return err
	}
	p, err := load(ctx, s, f, "", s.inputs(ctx))
	if err != nil {
		return err
	}
	hosts, err := inScope(p, f)
	if err != nil {
		return err
	}
	r, err := newRun(s, f, p, wire.Look, q, "weft trace")
	if err != nil {
		return err
	}
	defer r.Close()
	result, err := trace.Run(ctx, hosts, r, o)
	if err != nil {
		return refused(ctx, s, r, err)
	}
	var also []run.Exit
	if !result.Arrives {
		also = append(also, run.ProbeFailed)
	}
	recap := r.Recap(ctx, also...)
	if f.output == "json" {
		err = printJSON(s, result)
	} else {
		err = view.Trace(s.out, s.environment, result)
	}
	if err != nil {
		return fmt.Errorf("show the way: %w", err)
	}
	return q.recap(recap)
}
