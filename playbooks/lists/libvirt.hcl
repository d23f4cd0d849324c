# What a hypervisor with libvirt and Open vSwitch needs.

# libvirtd with qemu, which waits for Open vSwitch at boot. Left alone, it would start
# guests before their bridges are there, and not try again. And after a power cut
# the ports of the guests that ran are still in Open vSwitch's database: a guest
# whose tap gets the name of such a port would be in the VLAN of the guest that had it.
steps "libvirt" {
  step "file" "forget-guest-ports" {
    path    = "/usr/local/sbin/forget-guest-ports"
    mode    = "0755"
    content = <<-EOT
      #!/bin/sh
      # Takes the ports of guests out of Open vSwitch whose taps are gone.
      for port in $(ovs-vsctl --bare --columns=name find interface 'external_ids:vm-id!=""'); do
        [ -e "/sys/class/net/$port" ] || ovs-vsctl --if-exists del-port "$port"
      done
    EOT
  }

  step "directory" "libvirtd" {
    path = "/etc/systemd/system/libvirtd.service.d"
  }

  # Before its package, so that its first start goes by it.
  step "file" "libvirtd" {
    path    = "/etc/systemd/system/libvirtd.service.d/openvswitch.conf"
    content = <<-EOT
      [Unit]
      After=openvswitch-switch.service network-online.target
      Wants=network-online.target

      [Service]
      ExecStartPre=-/usr/local/sbin/forget-guest-ports
    EOT
  }

  step "package" "libvirt" {
    names      = ["libvirt-daemon-system", "libvirt-clients", "qemu-system-x86"]
    recommends = false
    data       = ["/etc/libvirt", "/etc/apparmor.d/local/abstractions", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"]
  }
}
