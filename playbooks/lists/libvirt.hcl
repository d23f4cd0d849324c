# What a hypervisor with libvirt and Open vSwitch needs.

# libvirtd with qemu. Guests race Open vSwitch at boot: libvirtd would start them before
# the bridges are there, and would not try again. So it is told to wait, before
# its package brings it.
steps "libvirt" {
  step "directory" "libvirtd" {
    path = "/etc/systemd/system/libvirtd.service.d"
  }

  step "file" "libvirtd" {
    path    = "/etc/systemd/system/libvirtd.service.d/openvswitch.conf"
    content = <<-EOT
      # The bridges of guests are there once Open vSwitch is, and the network.
      [Unit]
      After=openvswitch-switch.service network-online.target
      Wants=network-online.target
    EOT
  }

  step "package" "libvirt" {
    names      = ["libvirt-daemon-system", "libvirt-clients", "qemu-system-x86"]
    recommends = false
    data       = ["/etc/libvirt", "/etc/apparmor.d/local/abstractions", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"]
  }
}
