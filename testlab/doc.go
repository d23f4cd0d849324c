// Package testlab boots a network of real hosts on one machine, in seconds, and takes every trace of them away again.
//
// A host of the lab is a systemd of its own, an sshd of its own and real packages, in namespaces (systemd-nspawn): its
// disk is an overlay on a cached image, its network interfaces are veth pairs into kernel bridges, one bridge a
// network. Or it is a virtual machine, where a kernel of its own is wanted. A package that a playbook installs comes from
// a local apt repository, offline. A network with access is joined by the machine itself, so that weft, OpenSSH and
// Ansible reach the hosts from an ordinary shell.
//
//	lab, err := testlab.Open(spec, testlab.Options{})   // checks the description, touches nothing
//	err = lab.Up(ctx)                                    // builds what the cache lacks, boots what does not run
//	config, err := lab.SSHConfig()                       // ssh -F FILE host
//	err = lab.Down(ctx)                                  // no mount, namespace, cgroup, process or file is left
//
// # What runs
//
// A supervisor process a host (see Supervise) is the first process of a PID namespace, in a cgroup of its own. It plays
// the mains: when it dies, whatever way, the kernel ends everything the host runs. At each boot it makes the host's
// network namespace and its interfaces afresh, so nothing that a real reboot forgets survives, and it mounts the disk in
// a private mount namespace, which ends with the boot.
//
// # What is where
//
//	/var/lib/weft-lab/LAB/         what was described (lab.json), ssh/ (key, known_hosts, config), hosts/HOST/
//	/var/cache/weft-lab/           images and repositories, keyed by the digest of their recipe
//	cgroup2: weft-lab/LAB/HOST     every process of the host
//	/run/netns/weft.LAB            the fabric: the bridges
//	/run/netns/weft.LAB.HOST       the host's network; look inside with: ip netns exec weft.LAB.HOST ip addr
//
// All these names follow from the names of the lab and the host alone. So Down needs no memory of what Up did: it works
// after a crash of any process at any moment, and after the inventory was edited.
//
// What such hosts are not: there is one kernel for all, that of the machine. Kernel modules, hugepages, kernel arguments
// and sysctls outside net.* are the machine's; a power cycle ends processes but loses no written page; and the clock is
// the machine's, so no host's can jump.
//
// # Virtual machines
//
// A host with a VM is one of qemu instead, with a kernel, a GRUB and PCI cards of its own; beside the others, with the same
// login, files, repository and verbs. Its disk is an overlay on a cached one. Its first boot goes on from a snapshot of
// a machine that is booted and nobody yet, made once a [VM] shape, and is there within seconds; every later one is a boot.
// Without KVM, which is tried and not assumed, that is 40 s: Up and Reboot wait up to seven minutes. A reset of any cause (a
// reboot, a panic with panic=N, the watchdog i6300esb) boots it again. Its NICs are the PCI devices 0000:01:00.0,
// 0000:02:00.0 and so on, in the order of the description, each in an IOMMU group of its own. In its directory are
// disk.qcow2, console.log (the serial console, GRUB's menu included) and monitor (the socket of QMP). The cache has disks/
// and snapshots/ beside images/.
//
// Hosts can be hurt: Reboot, PowerCycle, ColdBoot; Cut and Mend; Fill and Free, of disks with a size (Options.Disk);
// Reinstall.
package testlab
