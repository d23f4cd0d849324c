package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"weft/engine/language"
	"weft/testlab"
)

func labCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Boot the hosts of an inventory on this machine",
		Long: `Lab boots what an inventory describes in its lab block and nic blocks: hosts in
namespaces with a real systemd and sshd, and real packages from a local repository.
They are reached from an ordinary shell, by weft, by OpenSSH and by Ansible. It needs
root; what else is missing it says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		labUpCommand(s),
		labVerb(s, "down", "End everything and leave no trace", func(ctx context.Context, _ streams, l *testlab.Lab) error { return l.Down(ctx) }),
		labVerb(s, "status", "Show how far each host is", labStatus),
		labVerb(s, "ssh-config", "Print the ssh_config(5) that reaches the hosts", func(_ context.Context, s streams, l *testlab.Lab) error {
			config, err := l.SSHConfig()
			if err != nil {
				return err
			}
			_, err = s.out.Write(config)
			return err
		}),
		labVerb(s, "cold-boot", "Cut the power of all hosts and boot them together", func(ctx context.Context, _ streams, l *testlab.Lab) error { return l.ColdBoot(ctx) }),
		hostVerb(s, "reboot", "Reboot a host, as systemctl reboot does", (*testlab.Lab).Reboot),
		hostVerb(s, "power-cycle", "Cut the power of a host and boot it", (*testlab.Lab).PowerCycle),
		labCut(s),
		hostVerb(s, "mend", "Plug all cables of a host in again", (*testlab.Lab).Mend),
		hostVerb(s, "fill", "Leave no byte free on a host's disk; see up --disk", (*testlab.Lab).Fill),
		hostVerb(s, "free", "Take away what fill put there", (*testlab.Lab).Free),
		hostVerb(s, "reinstall", "Make a host anew, with another host key, and let nobody know it", (*testlab.Lab).Reinstall),
		labSSH(s), labSupervise(),
	)
	return cmd
}

// labVerb is a verb that works on the lab of an inventory.
func labVerb(s streams, name, short string, do func(context.Context, streams, *testlab.Lab) error) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   name + " -i INVENTORY",
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := openLab(cmd.Context(), s, &f, 0)
			if err != nil {
				return err
			}
			return do(cmd.Context(), s, l)
		},
	}
	f.source(cmd.Flags())
	return cmd
}

func labUpCommand(s streams) *cobra.Command {
	var f flags
	var disk int64
	cmd := &cobra.Command{
		Use:   "up -i INVENTORY",
		Short: "Boot what does not run yet",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := openLab(cmd.Context(), s, &f, disk<<20)
			if err != nil {
				return err
			}
			return labUp(cmd.Context(), s, l)
		},
	}
	f.source(cmd.Flags())
	cmd.Flags().Int64Var(&disk, "disk", 0, "give hosts that are new disks of so many MiB, which can be filled; 0: as much as this machine has")
	return cmd
}

// hostVerb does something to one host of a lab.
func hostVerb(s streams, name, short string, do func(*testlab.Lab, context.Context, string) error) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   name + " -i INVENTORY HOST",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := openLab(cmd.Context(), s, &f, 0)
			if err != nil {
				return err
			}
			return do(l, cmd.Context(), args[0])
		},
	}
	f.source(cmd.Flags())
	return cmd
}

func labCut(s streams) *cobra.Command {
	var network string
	cmd := hostVerb(s, "cut", "Pull a host's cables out of a network", func(l *testlab.Lab, ctx context.Context, host string) error {
		return l.Cut(ctx, host, network)
	})
	cmd.Flags().StringVar(&network, "network", "", "out of this one; where empty, out of those that this machine is on")
	return cmd
}

func openLab(ctx context.Context, s streams, f *flags, disk int64) (*testlab.Lab, error) {
	p, err := load(ctx, s, f, "", s.inputs(ctx))
	if err != nil {
		return nil, err
	}
	if p.Lab == nil {
		return nil, errors.New("the inventory describes no lab: name one with -i that has a lab block")
	}
	spec, err := labSpec(p)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	owner, _ := s.environment("SUDO_UID") // who called sudo may use the lab's key
	uid, err := strconv.Atoi(cmp.Or(owner, "0"))
	if err != nil {
		uid = 0
	}
	return testlab.Open(spec, testlab.Options{
		Owner:      uid,
		Supervisor: []string{self, "lab", "supervise"},
		Disk:       disk,
		Log:        func(line string) { fmt.Fprintln(s.err, line) },
	})
}

// labSpec is an inventory's lab in the words of the lab.
func labSpec(p *language.Program) (testlab.Spec, error) {
	spec := testlab.Spec{Name: p.Lab.Name, Image: p.Lab.Image, Repository: p.Lab.Repository}
	for _, n := range p.Lab.Networks {
		prefix, err := optionalPrefix(n.CIDR)
		if err != nil {
			return spec, fmt.Errorf("network %s: %w", n.Name, err)
		}
		spec.Networks = append(spec.Networks, testlab.Network{Name: n.Name, CIDR: prefix, Access: n.Access, Wire: n.Wire})
	}
	for _, h := range p.Hosts {
		host := testlab.Host{Name: h.Name, User: h.SSH.User}
		if h.VM != nil {
			host.VM = &testlab.VM{Memory: h.VM.Memory, CPUs: h.VM.CPUs, NUMANodes: h.VM.NUMANodes, IOMMU: h.VM.IOMMU,
				Firmware: h.VM.Firmware}
		}
		for _, nic := range h.NICs {
			prefix, err := optionalPrefix(nic.Address)
			if err != nil {
				return spec, fmt.Errorf("host %s, nic %s: %w", h.Name, nic.Name, err)
			}
			host.NICs = append(host.NICs, testlab.NIC{Name: nic.Name, Network: nic.Network, Address: prefix, MAC: nic.MAC, Model: nic.Model})
		}
		spec.Hosts = append(spec.Hosts, host)
	}
	return spec, nil
}

func optionalPrefix(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	return netip.ParsePrefix(text)
}

func labUp(ctx context.Context, s streams, l *testlab.Lab) error {
	if err := l.Up(ctx); err != nil {
		return err
	}
	return labStatus(ctx, s, l)
}

func labStatus(ctx context.Context, s streams, l *testlab.Lab) error {
	hosts, err := l.Status(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSTATE\tADDRESS\tBOOTS\tCONSOLE")
	for _, h := range hosts {
		state := string(h.State)
		if h.Reason != "" {
			state += " (" + h.Reason + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", h.Name, state, h.Address, h.Boots, h.Console)
	}
	return w.Flush()
}

func labSSH(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "ssh -i INVENTORY HOST [-- PROGRAM...]",
		Short: "Log in to a host of the lab with OpenSSH",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := openLab(cmd.Context(), s, &f, 0)
			if err != nil {
				return err
			}
			ssh, err := exec.LookPath("ssh")
			if err != nil {
				return fmt.Errorf("OpenSSH's client is missing: apt-get install openssh-client: %w", err)
			}
			argv := append([]string{"ssh", "-F", l.SSHConfigPath()}, args...)
			if err := syscall.Exec(ssh, argv, os.Environ()); err != nil {
				return fmt.Errorf("run %s: %w", strings.Join(argv, " "), err)
			}
			return nil
		},
	}
	f.source(cmd.Flags())
	cmd.Flags().SetInterspersed(false) // what follows the host is the program's
	return cmd
}

// labSupervise is what the lab starts for each host; nobody types it.
func labSupervise() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise DIRECTORY",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return testlab.Supervise(args[0]) },
	}
}

// labConfig is the ssh_config of the inventory's lab; empty where it has none,
// or it was never up.
func labConfig(p *language.Program) string {
	if p.Lab == nil {
		return ""
	}
	l, err := testlab.Find(p.Lab.Name, testlab.Options{})
	if err != nil {
		return ""
	}
	if _, err := os.Stat(l.SSHConfigPath()); err != nil {
		return ""
	}
	return l.SSHConfigPath()
}
