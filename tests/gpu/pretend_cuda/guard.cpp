// What torch asks of CUDA in C++: which device and which stream are current in this thread.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

static constexpr int n_devices = 2;
static thread_local c10::DeviceIndex current = 0;
static thread_local c10::StreamId streams[n_devices] = {};  // 0 is the default stream

struct PretendGuard final : public c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = c10::DeviceType::CUDA;
  static c10::Stream stream(c10::DeviceIndex device, c10::StreamId id) {
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(static_type, device), id);
  }
  static c10::DeviceIndex index(c10::Device d) { return d.has_index() ? d.index() : current; }
  c10::DeviceType type() const override { return static_type; }
  c10::Device exchangeDevice(c10::Device d) const override {
    auto old = current;
    current = d.index();
    return {static_type, old};
  }
  c10::Device getDevice() const override { return {static_type, current}; }
  void setDevice(c10::Device d) const override { current = d.index(); }
  void uncheckedSetDevice(c10::Device d) const noexcept override { current = d.index(); }
  c10::Stream getStream(c10::Device d) const override { return stream(index(d), streams[index(d)]); }
  c10::Stream getDefaultStream(c10::Device d) const override { return stream(index(d), 0); }
  c10::Stream exchangeStream(c10::Stream s) const override {
    auto old = stream(s.device_index(), streams[s.device_index()]);
    streams[s.device_index()] = s.id();
    return old;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return n_devices; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, PretendGuard);

// The autograd engine asks these which accelerator there is.
struct CUDAHooks : public at::CUDAHooksInterface {
  CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return n_devices; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  // Pinned memory is ordinary memory here, and nothing says of a tensor that it is pinned.
  bool isPinnedPtr(const void*) const override { return false; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);

extern "C" {
int pretend_device_count() { return n_devices; }
int pretend_device() { return current; }
void pretend_set_device(int device) { current = device; }
int pretend_stream(int device) { return streams[device]; }
void pretend_set_stream(int device, int id) { streams[device] = id; }
}
